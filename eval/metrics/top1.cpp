// How often the likeliest next id is the reference's.
#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const std::vector<double> agrees(input.scores->agrees.begin(), input.scores->agrees.end());
  const auto means = window_means(agrees, input.scores->windows);
  rows.push_back(
      token_row(input, "top1_agreement", mean(means), "fraction", input.bootstrap->of_mean(means)));
  rows.back().reference = input.reference;
  rows.back().higher_is_better = true;
}

}  // namespace

Metric top1_metric() {
  return {"top1",           "share of predictions whose likeliest id is the reference's",
          "fraction",       true,
          Needs::reference, {"top1_agreement"},
          measure};
}

}  // namespace attar::eval
