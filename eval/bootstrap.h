// 95 % intervals by the percentile bootstrap over units (Efron, Tibshirani: An Introduction to the
// Bootstrap, chapter 13): windows, documents, examples. Units, not predictions, are drawn, for
// predictions of one text are not independent. The same seed draws the same units for every model,
// so differences between models are paired.
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

  Bootstrap(int64_t units, uint64_t seed) : units_(units), seed_(seed) {}

  int64_t units() const { return units_; }
  /// One unit says nothing about how units differ.
  bool possible() const { return units_ > 1; }

  /// Values of `count` statistics in every resample, [kResamples, count]. `statistics` gets how
  /// often each unit was drawn and writes the values; it runs in several threads.
  std::vector<double> resample(
      int64_t count,
      const std::function<void(std::span<const int32_t> drawn, double* out)>& statistics) const;

  /// The middle 95 % of statistic `which` of resample()'s values.
  static Interval interval(const std::vector<double>& values, int64_t count, int64_t which);

  /// Σ numerators / Σ denominators in every resample, both [units]; empty when not possible().
  std::vector<double> ratios(std::span<const double> numerators,
                             std::span<const double> denominators) const;
  /// Their interval; nothing when not possible().
  std::optional<Interval> of_ratio(std::span<const double> numerators,
                                   std::span<const double> denominators) const;
  /// Interval of the mean of `values` [units].
  std::optional<Interval> of_mean(std::span<const double> values) const;

  /// How surprising a difference this far from 0 is where there is none: twice the smaller share of
  /// resampled differences on one side of 0.
  static double p_value(std::span<const double> differences);

 private:
  int64_t units_;
  uint64_t seed_;
};

double mean(std::span<const double> values);
/// Σ numerators / Σ denominators.
double ratio(std::span<const double> numerators, std::span<const double> denominators);
/// Linear interpolation between the sorted values, q in [0, 1].
double quantile(std::span<const double> sorted, double q);

}  // namespace attar::eval
