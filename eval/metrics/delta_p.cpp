// Root mean square of Δp, the change of the probability that the right next id gets.
#include <cmath>

#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  std::vector<double> squares;
  for (size_t i = 0; i < input.scores->loss.size(); ++i) {
    const double delta =
        std::exp(-input.scores->loss[i]) - std::exp(-input.reference_scores->loss[i]);
    squares.push_back(delta * delta);
  }
  const auto means = window_means(squares, input.scores->windows);
  auto interval = input.bootstrap->of_mean(means);
  if (interval) interval = Interval{std::sqrt(interval->low), std::sqrt(interval->high)};
  rows.push_back(token_row(input, "rms_delta_p", std::sqrt(mean(means)), "fraction", interval));
  rows.back().reference = input.reference;
}

}  // namespace

Metric delta_p_metric() {
  return {"delta_p",        "root mean square change of the right id's probability",
          "fraction",       false,
          Needs::reference, {"rms_delta_p"},
          measure};
}

}  // namespace attar::eval
