// 95 % intervals by the percentile bootstrap over windows (Efron, Tibshirani: An Introduction to
// the Bootstrap, chapter 13). Windows, not predictions, are drawn: predictions of one text are not
// independent. The same seed draws the same windows for every model, so differences between models
// are paired.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace attar::eval {

struct Interval {
  double low = 0, high = 0;
};

class Bootstrap {
 public:
  static constexpr int64_t kResamples = 2000;

  Bootstrap(int64_t windows, uint64_t seed) : windows_(windows), seed_(seed) {}

  int64_t windows() const { return windows_; }
  /// One window says nothing about how windows differ.
  bool possible() const { return windows_ > 1; }

  /// Values of `count` statistics in every resample, [kResamples, count]. `statistics` gets how
  /// often each window was drawn (windows in all) and writes the values; it runs in several
  /// threads.
  std::vector<double> resample(
      int64_t count,
      const std::function<void(std::span<const int32_t> drawn, double* out)>& statistics) const;

  /// The middle 95 % of statistic `which` of resample()'s values.
  static Interval interval(const std::vector<double>& values, int64_t count, int64_t which);

  /// Interval of the mean of per-window means; nothing when not possible().
  std::optional<Interval> of_mean(std::span<const double> window_means) const;

 private:
  int64_t windows_;
  uint64_t seed_;
};

/// Mean of each window's values, [windows, per_window] -> [windows].
std::vector<double> window_means(std::span<const double> values, int64_t windows);
double mean(std::span<const double> values);
/// Linear interpolation between the sorted values, q in [0, 1].
double quantile(std::span<const double> sorted, double q);

}  // namespace attar::eval
