// The most memory a process needs that loads the model, reads a prompt and writes.
#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  EvaluationRow row;
  row.model = input.model;
  row.metric = "peak_rss_bytes";
  row.value = static_cast<double>(input.measurement->peak_rss_bytes);
  row.unit = "bytes";
  row.n = 1;
  row.details = describe(*input.measurement);
  rows.push_back(std::move(row));
}

}  // namespace

Metric memory_metric() {
  return {"memory",
          "peak resident memory of a process that runs the model",
          "bytes",
          false,
          Needs::measurement,
          {"peak_rss_bytes"},
          measure};
}

}  // namespace attar::eval
