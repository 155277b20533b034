// exp of the mean loss over all predictions, by the protocols gptq and llama_cpp.
#include <cmath>

#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const TokenScores& scores = *input.scored.model;
  const Bootstrap& bootstrap = *input.scored.bootstrap;
  const auto sums = unit_sums(scores, scores.loss), counts = unit_counts(scores);
  const double loss = ratio(sums, counts);
  auto interval = bootstrap.of_ratio(sums, counts);
  if (interval) interval = Interval{std::exp(interval->low), std::exp(interval->high)};
  auto row = scored_row(input, "perplexity", std::exp(loss), "", interval);
  row.details["loss_nats"] = loss;
  keep_units(row, sums, counts, true);
  if (input.has_reference() && input.scored.reference)
    row.details["paired"] =
        paired(input.reference, bootstrap, sums,
               unit_sums(*input.scored.reference, input.scored.reference->loss), counts, true);
  rows.push_back(std::move(row));
}

}  // namespace

Metric perplexity_metric() {
  return {"perplexity",
          "exp of the mean loss (protocol gptq: non-overlapping windows, every id after the first)",
          "",
          false,
          Needs::windows,
          {"perplexity"},
          measure};
}

Metric llama_cpp_metric() {
  Metric metric = perplexity_metric();
  metric.name = "llama_cpp";
  metric.summary =
      "perplexity as llama-perplexity has it: chunks of 512, second halves, BOS before each chunk";
  metric.needs = Needs::chunks;
  metric.by_default = false;
  return metric;
}

}  // namespace attar::eval
