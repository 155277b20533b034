// How many weights a model has; a tied head counts once.
#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  EvaluationRow row;
  row.model = input.model;
  row.metric = "parameters";
  row.value = static_cast<double>(input.size.parameters);
  row.unit = "count";
  row.n = input.size.parameters;
  row.details = {{"counts", "every tensor; a tied head once"}};
  rows.push_back(std::move(row));
}

}  // namespace

Metric parameters_metric() {
  return {"parameters", "weights, a tied head counted once",
          "count",      false,
          Needs::files, {"parameters"},
          measure};
}

}  // namespace attar::eval
