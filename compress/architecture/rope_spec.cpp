// Rotary frequencies under the scalings that stretch a model's context.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "compress/architecture/model_spec.h"

namespace attar {
namespace {

/// Frequencies of theta, [dims/2]: θ^(−2i/dims).
double base_frequency(const RopeSpec& rope, double theta, size_t i) {
  return std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(rope.dims));
}

/// Llama 3.1: waves that repeat often within the original length stay, long ones are stretched by
/// `factor`, and between the two bands the frequency is interpolated.
double llama3(const RopeSpec& rope, double base) {
  const double turns =
      static_cast<double>(rope.original_max_positions) * base / (2.0 * std::numbers::pi);
  const double share =
      (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  if (turns < rope.low_freq_factor) return base / rope.factor;
  if (turns > rope.high_freq_factor) return base;
  return (1.0 - share) * base / rope.factor + share * base;
}

/// YaRN (Peng et al., 2023, section 3.2): pairs that turn more than beta_fast times within the
/// original length stay, those below beta_slow are stretched, a ramp over the pairs lies between.
double yarn(const RopeSpec& rope, double base, size_t i) {
  const auto pair_of = [&](double turns) {
    return static_cast<double>(rope.dims) *
           std::log(static_cast<double>(rope.original_max_positions) /
                    (turns * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = pair_of(rope.beta_fast), high = pair_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rope.dims - 1));
  if (low == high) high += 0.001;
  const double stretched = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
  return base / rope.factor * stretched + base * (1 - stretched);
}

/// The NTK-aware base of a sequence longer than the original length (Peng et al., 2023, section
/// 3.3).
double dynamic_theta(const RopeSpec& rope, int64_t length) {
  const auto original = static_cast<double>(rope.original_max_positions);
  const double stretch =
      rope.factor * std::max(static_cast<double>(length), original) / original - (rope.factor - 1);
  return rope.theta *
         std::pow(stretch, static_cast<double>(rope.dims) / static_cast<double>(rope.dims - 2));
}

}  // namespace

std::vector<double> RopeSpec::frequencies(int64_t length) const {
  std::vector<double> result(static_cast<size_t>(dims / 2));
  const double used = scaling == RopeScaling::dynamic ? dynamic_theta(*this, length) : theta;
  const auto& stretch = length > original_max_positions ? long_factor : short_factor;
  for (size_t i = 0; i < result.size(); ++i) {
    const double base = base_frequency(*this, used, i);
    switch (scaling) {
      case RopeScaling::none:
      case RopeScaling::dynamic:
        result[i] = base;
        break;
      case RopeScaling::linear:
        result[i] = base / factor;
        break;
      case RopeScaling::llama3:
        result[i] = llama3(*this, base);
        break;
      case RopeScaling::yarn:
        result[i] = yarn(*this, base, i);
        break;
      case RopeScaling::longrope:
        result[i] = base / stretch[i];
        break;
    }
  }
  return result;
}

int64_t RopeSpec::regime(int64_t length) const {
  if (scaling == RopeScaling::longrope) return length > original_max_positions ? 1 : 0;
  if (scaling == RopeScaling::dynamic) return std::max(length, original_max_positions);
  return 0;
}

int64_t RopeSpec::reach() const {
  if (scaling != RopeScaling::dynamic && scaling != RopeScaling::yarn) return 0;
  return static_cast<int64_t>(static_cast<double>(original_max_positions) * factor);
}

}  // namespace attar
