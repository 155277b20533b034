#include "compress/formats/gguf/search.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

namespace attar::gguf {
namespace {

constexpr size_t kMostWeights = 32;
using Codes = std::array<uint8_t, kMostWeights>;

int clamped(float value, int low, int high) {
  return std::clamp(static_cast<int>(std::nearbyint(value)), low, high);
}

float weighted_error(std::span<const float> x, std::span<const float> weights, const uint8_t* codes,
                     float scale, float minimum) {
  float error = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const float difference = scale * static_cast<float>(codes[i]) + minimum - x[i];
    error += weights[i] * (difference * difference);
  }
  return error;
}

/// What one tried scale reduces the squared error by, and its best refit.
struct SymmetricTrial {
  double gain = 0;
  float scale = 0;
};

SymmetricTrial try_symmetric(std::span<const float> x, std::span<const float> weights,
                             float inverse, int low, int high) {
  double xl = 0, l2 = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double w = static_cast<double>(weights[i]), l = clamped(inverse * x[i], low, high);
    xl += w * static_cast<double>(x[i]) * l;
    l2 += w * l * l;
  }
  if (l2 <= 0) return {};
  return {xl * xl / l2, static_cast<float>(xl / l2)};
}

}  // namespace

AffineFit fit_affine(std::span<const float> x, std::span<const float> weights, int levels,
                     const AffineSweep& sweep, uint8_t* codes) {
  assert(x.size() <= kMostWeights);
  float minimum = x[0], maximum = x[0], sum_w = weights[0], sum_x = sum_w * x[0];
  for (size_t i = 1; i < x.size(); ++i) {
    minimum = std::min(minimum, x[i]);
    maximum = std::max(maximum, x[i]);
    sum_w += weights[i];
    sum_x += weights[i] * x[i];
  }
  minimum = std::min(minimum, 0.0f);
  std::fill_n(codes, x.size(), uint8_t{0});
  if (maximum == minimum) return {0, -minimum};

  const float lowest = minimum, range = maximum - minimum, top = static_cast<float>(levels);
  float scale = 1 / (top / range);
  for (size_t i = 0; i < x.size(); ++i)
    codes[i] = static_cast<uint8_t>(clamped((top / range) * (x[i] - lowest), 0, levels));
  float best = weighted_error(x, weights, codes, scale, minimum);

  for (int step = 0; step <= sweep.steps; ++step) {
    const float inverse = (sweep.first + sweep.step * static_cast<float>(step) + top) / range;
    Codes trial;
    float l1 = 0, l2 = 0, xl = 0;  // Σ w·code, Σ w·code², Σ w·code·x
    for (size_t i = 0; i < x.size(); ++i) {
      const int code = clamped(inverse * (x[i] - lowest), 0, levels);
      trial[i] = static_cast<uint8_t>(code);
      const float wl = weights[i] * static_cast<float>(code);
      l1 += wl;
      l2 += wl * static_cast<float>(code);
      xl += wl * x[i];
    }
    const float determinant = sum_w * l2 - l1 * l1;
    if (!(determinant > 0)) continue;
    float trial_scale = (sum_w * xl - sum_x * l1) / determinant;
    float trial_minimum = (l2 * sum_x - l1 * xl) / determinant;
    if (trial_minimum > 0) {  // the format can only subtract
      trial_minimum = 0;
      trial_scale = xl / l2;
    }
    const float error = weighted_error(x, weights, trial.data(), trial_scale, trial_minimum);
    if (!(error < best)) continue;
    std::copy_n(trial.begin(), x.size(), codes);
    best = error;
    scale = trial_scale;
    minimum = trial_minimum;
  }
  return {scale, -minimum};
}

float fit_symmetric(std::span<const float> x, std::span<const float> weights, int low, int high) {
  float extreme = 0;
  for (const float value : x)
    if (std::abs(value) > std::abs(extreme)) extreme = value;
  if (std::abs(extreme) < 1e-15f) return 0;
  SymmetricTrial best;
  const auto consider = [&](float inverse) {
    const auto trial = try_symmetric(x, weights, inverse, low, high);
    if (trial.gain > best.gain) best = trial;
  };
  // The extreme value at either end of the range, and somewhat inside and beyond it.
  constexpr int kSteps = 12;
  for (const int end : {low, high}) {
    if (end == 0) continue;
    const auto edge = static_cast<float>(end);
    for (int step = -kSteps; step <= kSteps; ++step)
      consider((edge + std::copysign(0.1f, edge) * static_cast<float>(step)) / extreme);
  }
  for (int round = 0; round < 3 && best.scale != 0; ++round) consider(1 / best.scale);
  return best.scale;
}

int nearest_code(float x, float scale, int low, int high) {
  if (scale == 0) return std::clamp(0, low, high);
  // Clamped as a float first: a tiny scale may give more than an int holds.
  const float code = std::nearbyint(x / scale);
  return static_cast<int>(std::clamp(code, static_cast<float>(low), static_cast<float>(high)));
}

}  // namespace attar::gguf
