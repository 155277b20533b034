// Root mean square of Δp, the change of the probability that the right next id gets.
#include <cmath>

#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const TokenScores &scores = *input.scored.model, &reference = *input.scored.reference;
  std::vector<double> squares;
  for (size_t i = 0; i < scores.loss.size(); ++i) {
    const double delta = std::exp(-scores.loss[i]) - std::exp(-reference.loss[i]);
    squares.push_back(delta * delta);
  }
  const auto sums = unit_sums(scores, squares), counts = unit_counts(scores);
  auto interval = input.scored.bootstrap->of_ratio(sums, counts);
  if (interval) interval = Interval{std::sqrt(interval->low), std::sqrt(interval->high)};
  rows.push_back(
      scored_row(input, "rms_delta_p", std::sqrt(ratio(sums, counts)), "fraction", interval));
  rows.back().reference = input.reference;
}

}  // namespace

Metric delta_p_metric() {
  Metric metric{"delta_p",      "root mean square change of the right id's probability",
                "fraction",     false,
                Needs::windows, {"rms_delta_p"},
                measure};
  metric.relative = true;
  return metric;
}

}  // namespace attar::eval
