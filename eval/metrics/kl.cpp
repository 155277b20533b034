// KL(reference ‖ model) at every prediction: mean and tail.
#include <algorithm>
#include <array>

#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

struct Percentile {
  const char* name;
  double q;
};
constexpr std::array<Percentile, 4> kPercentiles = {
    {{"kl_p99_9", 0.999}, {"kl_p99", 0.99}, {"kl_p90", 0.9}, {"kl_p50", 0.5}}};

struct Ranked {
  double value;
  int32_t unit;
};

std::vector<Ranked> ranked(const TokenScores& scores) {
  std::vector<Ranked> list;
  for (int64_t u = 0; u < scores.units(); ++u)
    for (auto i = static_cast<size_t>(scores.starts[static_cast<size_t>(u)]);
         i < static_cast<size_t>(scores.starts[static_cast<size_t>(u) + 1]); ++i)
      list.push_back({scores.kl[i], static_cast<int32_t>(u)});
  std::sort(list.begin(), list.end(), [](const Ranked& a, const Ranked& b) {
    return a.value > b.value || (a.value == b.value && a.unit < b.unit);
  });
  return list;
}

/// Percentiles of a resample without sorting it: walks down from the largest value, counting each
/// as often as its unit was drawn.
void walk_down(const std::vector<Ranked>& list, std::span<const int32_t> drawn, double* out) {
  const auto total = static_cast<double>(list.size());
  size_t next = 0;
  int64_t above = 0;
  for (const auto& [value, unit] : list) {
    above += drawn[static_cast<size_t>(unit)];
    while (next < kPercentiles.size() &&
           static_cast<double>(above) > (1 - kPercentiles[next].q) * total)
      out[next++] = value;
    if (next == kPercentiles.size()) return;
  }
}

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const TokenScores& scores = *input.scored.model;
  const Bootstrap& bootstrap = *input.scored.bootstrap;
  const auto add = [&](const char* name, double value, const std::optional<Interval>& interval) {
    rows.push_back(scored_row(input, name, value, "nats", interval));
    rows.back().reference = input.reference;
  };
  const auto sums = unit_sums(scores, scores.kl), counts = unit_counts(scores);
  add("kl_mean", ratio(sums, counts), bootstrap.of_ratio(sums, counts));
  keep_units(rows.back(), sums, counts, false);

  const auto list = ranked(scores);
  std::vector<double> ascending;
  for (auto item = list.rbegin(); item != list.rend(); ++item) ascending.push_back(item->value);
  const auto count = static_cast<int64_t>(kPercentiles.size());
  std::vector<double> values;
  if (bootstrap.possible())
    values = bootstrap.resample(
        count, [&](std::span<const int32_t> drawn, double* out) { walk_down(list, drawn, out); });
  for (int64_t p = count - 1; p >= 0; --p) {
    const auto& [name, q] = kPercentiles[static_cast<size_t>(p)];
    add(name, quantile(ascending, q),
        values.empty() ? std::nullopt : std::optional(Bootstrap::interval(values, count, p)));
  }
  add("kl_max", ascending.back(), std::nullopt);  // resampling says nothing about an extreme
}

}  // namespace

Metric kl_metric() {
  Metric metric = {
      "kl",           "KL divergence of the model's next-id distribution from the reference's",
      "nats",         false,
      Needs::windows, {"kl_mean", "kl_p50", "kl_p90", "kl_p99", "kl_p99_9", "kl_max"},
      measure};
  metric.relative = true;
  return metric;
}

}  // namespace attar::eval
