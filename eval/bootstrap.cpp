#include "eval/bootstrap.h"

#include <algorithm>
#include <cmath>

#include "compress/base/random.h"
#include "compress/base/threads.h"

namespace attar::eval {

std::vector<double> Bootstrap::resample(
    int64_t count,
    const std::function<void(std::span<const int32_t> drawn, double* out)>& statistics) const {
  std::vector<double> values(static_cast<size_t>(kResamples * count));
  parallel_for(kResamples, 50, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> drawn(static_cast<size_t>(units_));
    for (int64_t r = begin; r < end; ++r) {
      std::fill(drawn.begin(), drawn.end(), 0);
      Random random(seed_ ^ Random(static_cast<uint64_t>(r)).next());
      for (int64_t i = 0; i < units_; ++i) ++drawn[random.below(static_cast<uint64_t>(units_))];
      statistics(drawn, values.data() + r * count);
    }
  });
  return values;
}

Interval Bootstrap::interval(const std::vector<double>& values, int64_t count, int64_t which) {
  std::vector<double> one;
  for (size_t i = static_cast<size_t>(which); i < values.size(); i += static_cast<size_t>(count))
    one.push_back(values[i]);
  std::sort(one.begin(), one.end());
  return {quantile(one, 0.025), quantile(one, 0.975)};
}

std::vector<double> Bootstrap::ratios(std::span<const double> numerators,
                                      std::span<const double> denominators) const {
  if (!possible()) return {};
  return resample(1, [&](std::span<const int32_t> drawn, double* out) {
    double above = 0, below = 0;
    for (size_t u = 0; u < numerators.size(); ++u) {
      above += drawn[u] * numerators[u];
      below += drawn[u] * denominators[u];
    }
    *out = below == 0 ? 0 : above / below;
  });
}

std::optional<Interval> Bootstrap::of_ratio(std::span<const double> numerators,
                                            std::span<const double> denominators) const {
  const auto values = ratios(numerators, denominators);
  if (values.empty()) return std::nullopt;
  return interval(values, 1, 0);
}

std::optional<Interval> Bootstrap::of_mean(std::span<const double> values) const {
  return of_ratio(values, std::vector<double>(values.size(), 1));
}

double Bootstrap::p_value(std::span<const double> differences) {
  int64_t at_most = 0, at_least = 0;
  for (const double value : differences) {
    at_most += value <= 0;
    at_least += value >= 0;
  }
  return std::min(1.0, 2.0 * static_cast<double>(std::min(at_most, at_least)) /
                           static_cast<double>(differences.size()));
}

double ratio(std::span<const double> numerators, std::span<const double> denominators) {
  double above = 0, below = 0;
  for (const double value : numerators) above += value;
  for (const double value : denominators) below += value;
  return above / below;
}

double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum / static_cast<double>(values.size());
}

double quantile(std::span<const double> sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  if (below + 1 >= sorted.size()) return sorted.back();
  const double part = at - static_cast<double>(below);
  return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

}  // namespace attar::eval
