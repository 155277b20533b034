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
    std::vector<int32_t> drawn(static_cast<size_t>(windows_));
    for (int64_t r = begin; r < end; ++r) {
      std::fill(drawn.begin(), drawn.end(), 0);
      Random random(seed_ ^ Random(static_cast<uint64_t>(r)).next());
      for (int64_t i = 0; i < windows_; ++i) ++drawn[random.below(static_cast<uint64_t>(windows_))];
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

std::optional<Interval> Bootstrap::of_mean(std::span<const double> means) const {
  if (!possible()) return std::nullopt;
  const auto values = resample(1, [&](std::span<const int32_t> drawn, double* out) {
    double sum = 0;
    for (size_t w = 0; w < means.size(); ++w) sum += drawn[w] * means[w];
    *out = sum / static_cast<double>(windows_);
  });
  return interval(values, 1, 0);
}

std::vector<double> window_means(std::span<const double> values, int64_t windows) {
  std::vector<double> means;
  const size_t length = values.size() / static_cast<size_t>(windows);
  for (size_t w = 0; w < static_cast<size_t>(windows); ++w)
    means.push_back(mean(values.subspan(w * length, length)));
  return means;
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
