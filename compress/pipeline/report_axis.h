// An axis of a chart: values to pixels, round ticks.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace attar::report {

struct Axis {
  double low = 0, high = 1;  // values at the two ends
  bool logarithmic = false;
  double from = 0, to = 1;  // pixels at the two ends

  double operator()(double value) const {
    const auto f = [&](double v) { return logarithmic ? std::log(v) : v; };
    return from + (to - from) * (f(value) - f(low)) / (f(high) - f(low));
  }
};

/// An axis over [low, high] with a margin on both sides; `logarithmic_beyond` is the ratio from
/// which it becomes logarithmic (0 = never).
inline Axis make_axis(double low, double high, double logarithmic_beyond, double from, double to) {
  Axis axis{low, high, false, from, to};
  axis.logarithmic = logarithmic_beyond > 0 && low > 0 && high > logarithmic_beyond * low;
  if (axis.logarithmic) {
    const double margin = std::pow(high / low, 0.07);
    axis.low = low / margin;
    axis.high = high * margin;
    return axis;
  }
  double margin = 0.09 * (high - low);
  if (margin <= 1e-9 * std::fabs(high)) margin = high == 0 ? 1 : 0.1 * std::fabs(high);
  axis.low = low - margin;
  axis.high = high + margin;
  if (low >= 0) axis.low = std::max(axis.low, 0.0);
  return axis;
}

/// Round numbers on the axis, about `count` of them: 1, 2 and 5 times powers of ten.
inline std::vector<double> ticks(const Axis& axis, int count) {
  std::vector<double> found;
  if (axis.logarithmic && axis.high > 5 * axis.low) {
    const auto exponent = [](double value) {
      return std::clamp(static_cast<int>(std::floor(std::log10(value))), -300, 300);
    };
    for (int e = exponent(axis.low); std::isfinite(axis.high) && e <= exponent(axis.high); ++e)
      for (const double step : {1.0, 2.0, 5.0}) {
        const double at = step * std::pow(10, e);
        if (at >= axis.low && at <= axis.high) found.push_back(at);
      }
    for (; static_cast<int>(found.size()) > 2 * count && count > 1;) {
      std::vector<double> fewer;
      for (size_t i = 0; i < found.size(); i += 3) fewer.push_back(found[i]);
      if (fewer.size() == found.size()) break;
      found = fewer;
    }
    return found;
  }
  const double raw = (axis.high - axis.low) / count;
  if (!std::isfinite(raw) || raw <= 0) return found;  // values at the ends of what a double holds
  const double power = std::pow(10, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double multiple : {1.0, 2.0, 2.5, 5.0})
    if (raw <= multiple * power) {
      step = multiple * power;
      break;
    }
  const double first = std::ceil(axis.low / step);
  for (int i = 0; i <= 10 * count && (first + i) * step <= axis.high; ++i)
    found.push_back((first + i) * step);
  return found;
}

}  // namespace attar::report
