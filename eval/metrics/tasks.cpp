// Metrics over a task's answers: multiple choice, last word, exact match.
#include <cmath>

#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

/// The mean of the values named `name`, over examples. With `logarithmic`, exp of it.
EvaluationRow mean_row(const MetricInput& input, const std::string& name, const char* metric,
                       bool logarithmic) {
  const auto& values = input.answers->values.at(name);
  const Bootstrap& bootstrap = *input.scored.bootstrap;
  EvaluationRow row;
  row.model = input.model;
  row.metric = metric;
  row.protocol = input.answers->encoded->task->name;
  row.value = logarithmic ? std::exp(mean(values)) : mean(values);
  row.unit = logarithmic ? "" : "fraction";
  row.n = static_cast<int64_t>(values.size());
  row.higher_is_better = !logarithmic;
  row.details = input.scored.details;
  auto interval = bootstrap.of_mean(values);
  if (interval && logarithmic)
    interval = Interval{std::exp(interval->low), std::exp(interval->high)};
  set_interval(row, interval, "examples");
  const std::vector<double> ones(values.size(), 1);
  keep_units(row, values, ones, logarithmic);
  if (input.has_reference() && input.reference_answers)
    row.details["paired"] = paired(input.reference, bootstrap, values,
                                   input.reference_answers->values.at(name), ones, logarithmic);
  return row;
}

bool is_of(const MetricInput& input, TaskKind kind) {
  return input.answers->encoded->task->kind == kind;
}

void measure_choices(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  if (!is_of(input, TaskKind::choices)) return;
  rows.push_back(mean_row(input, "accuracy", "accuracy", false));
  rows.push_back(mean_row(input, "accuracy_norm", "accuracy_norm", false));
  rows.back().details["normalized_by"] = "characters of the choice";
}

void measure_last_word(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  if (!is_of(input, TaskKind::last_word)) return;
  rows.push_back(mean_row(input, "accuracy", "accuracy", false));
  rows.push_back(mean_row(input, "loss", "perplexity", true));
  rows.back().details["counted"] = "last words";
}

void measure_exact_match(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  if (!is_of(input, TaskKind::exact_match)) return;
  rows.push_back(mean_row(input, "exact_match", "exact_match", false));
  rows.back().details["extracted"] = "the number behind \"#### \"";
  rows.push_back(mean_row(input, "exact_match_flexible", "exact_match_flexible", false));
  rows.back().details["extracted"] = "the last number";
}

}  // namespace

Metric choices_metric() {
  return {"choices",      "multiple choice: how often the likeliest answer is the right one",
          "fraction",     true,
          Needs::task,    {"accuracy", "accuracy_norm"},
          measure_choices};
}

Metric last_word_metric() {
  return {
      "last_word",      "a passage's last word: how often it is the likeliest, and its perplexity",
      "fraction",       true,
      Needs::task,      {"accuracy", "perplexity"},
      measure_last_word};
}

Metric exact_match_metric() {
  return {"exact_match",
          "answers written by greedy decoding: how often the result is the right one",
          "fraction",
          true,
          Needs::task,
          {"exact_match", "exact_match_flexible"},
          measure_exact_match};
}

}  // namespace attar::eval
