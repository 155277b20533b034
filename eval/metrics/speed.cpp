// Prefill, decode at batch 1 and 8 (of an encoder: one long text, and batches of short ones), time
// to the first token and to load, on the kernels that a deployed model runs on.
#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const Measurement& m = *input.measurement;
  const auto add = [&](const char* name, double value, const char* unit = "tokens/s") {
    EvaluationRow row;
    row.model = input.model;
    row.metric = name;
    row.value = value;
    row.unit = unit;
    row.n = name == std::string("load_seconds") ? 1 : m.repetitions;
    row.higher_is_better = unit != std::string("s");
    row.details = describe(m);
    rows.push_back(std::move(row));
  };
  add("prefill_tokens_per_s", m.prefill_tokens_per_s);
  if (m.decode_tokens_per_s) add("decode_tokens_per_s", *m.decode_tokens_per_s);
  if (m.batch_decode_tokens_per_s) add("batch_decode_tokens_per_s", *m.batch_decode_tokens_per_s);
  if (m.batch_texts_per_s) add("batch_texts_per_s", *m.batch_texts_per_s, "texts/s");
  if (m.first_token_seconds) add("first_token_seconds", *m.first_token_seconds, "s");
  if (m.load_seconds) add("load_seconds", *m.load_seconds, "s");
}

}  // namespace

Metric speed_metric() {
  return {"speed",
          "tokens a second, reading a prompt and writing after it, at batch 1 and 8; time to load "
          "and to "
          "the first token",
          "tokens/s",
          true,
          Needs::measurement,
          {"prefill_tokens_per_s", "decode_tokens_per_s", "batch_decode_tokens_per_s",
           "batch_texts_per_s", "first_token_seconds", "load_seconds"},
          measure};
}

}  // namespace attar::eval
