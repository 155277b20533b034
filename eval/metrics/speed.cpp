// Prefill and decode at batch 1, on the kernels that a deployed model runs on.
#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const Measurement& m = *input.measurement;
  const auto add = [&](const char* name, double value) {
    EvaluationRow row;
    row.model = input.model;
    row.metric = name;
    row.value = value;
    row.unit = "tokens/s";
    row.n = m.repetitions;
    row.higher_is_better = true;
    row.details = describe(m);
    rows.push_back(std::move(row));
  };
  add("prefill_tokens_per_s", m.prefill_tokens_per_s);
  add("decode_tokens_per_s", m.decode_tokens_per_s);
}

}  // namespace

Metric speed_metric() {
  return {"speed",
          "tokens a second, reading a prompt and writing after it, at batch 1",
          "tokens/s",
          true,
          Needs::measurement,
          {"prefill_tokens_per_s", "decode_tokens_per_s"},
          measure};
}

}  // namespace attar::eval
