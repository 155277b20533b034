// How often the likeliest next id is the reference's.
#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const TokenScores& scores = *input.scored.model;
  const std::vector<double> agrees(scores.agrees.begin(), scores.agrees.end());
  const auto sums = unit_sums(scores, agrees), counts = unit_counts(scores);
  rows.push_back(scored_row(input, "top1_agreement", ratio(sums, counts), "fraction",
                            input.scored.bootstrap->of_ratio(sums, counts)));
  rows.back().reference = input.reference;
  keep_units(rows.back(), sums, counts, false);
  rows.back().higher_is_better = true;
}

}  // namespace

Metric top1_metric() {
  Metric metric{"top1",         "share of predictions whose likeliest id is the reference's",
                "fraction",     true,
                Needs::windows, {"top1_agreement"},
                measure};
  metric.relative = true;
  return metric;
}

}  // namespace attar::eval
