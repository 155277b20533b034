// Perplexity of words and of bytes, by the rules of lm-evaluation-harness: the rolling
// log-likelihood of whole documents, divided by what the original text counts, so that models with
// different tokenizers compare.
#include <cmath>

#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

/// exp(Σ loss / Σ size)
void add_row(const MetricInput& input, const std::vector<double>& sizes, const char* protocol,
             const char* counted, std::vector<EvaluationRow>& rows) {
  const TokenScores& scores = *input.scored.model;
  const auto sums = unit_sums(scores, scores.loss);
  const double loss = ratio(sums, sizes);
  auto interval = input.scored.bootstrap->of_ratio(sums, sizes);
  if (interval) interval = Interval{std::exp(interval->low), std::exp(interval->high)};
  auto row = scored_row(input, "perplexity", std::exp(loss), "", interval);
  row.protocol = protocol;
  row.n = 0;
  for (const double size : sizes) row.n += std::llround(size);
  row.details["counted"] = counted;
  row.details["predictions"] = scores.count();
  row.details["loss_nats"] = loss;
  row.details["bits"] = loss / std::log(2.0);
  keep_units(row, sums, sizes, true);
  if (input.has_reference() && input.scored.reference)
    row.details["paired"] =
        paired(input.reference, *input.scored.bootstrap, sums,
               unit_sums(*input.scored.reference, input.scored.reference->loss), sizes, true);
  rows.push_back(std::move(row));
}

void measure_words(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  std::vector<double> words;
  for (const auto& size : *input.documents) words.push_back(static_cast<double>(size.words));
  add_row(input, words, "lm_eval_word", "words of the original text", rows);
}

void measure_bytes(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  std::vector<double> bytes;
  for (const auto& size : *input.documents) bytes.push_back(static_cast<double>(size.bytes));
  add_row(input, bytes, "lm_eval_byte", "bytes of the original text", rows);
}

}  // namespace

Metric lm_eval_word_metric() {
  Metric metric{"lm_eval_word",
                "perplexity a word (rolling log-likelihood of whole documents)",
                "",
                false,
                Needs::documents,
                {"perplexity"},
                measure_words};
  metric.by_default = false;
  return metric;
}

Metric lm_eval_byte_metric() {
  Metric metric{"lm_eval_byte",
                "perplexity a byte (rolling log-likelihood of whole documents)",
                "",
                false,
                Needs::documents,
                {"perplexity"},
                measure_bytes};
  metric.by_default = false;
  return metric;
}

}  // namespace attar::eval
