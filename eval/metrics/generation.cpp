// What models write: how long they write the reference's text, and how much they repeat themselves.
// The texts go along for the report.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

/// How many of a text's first ids are the reference's, of the longer one's ids.
double shared_beginning(const std::vector<int32_t>& mine, const std::vector<int32_t>& reference) {
  const size_t longer = std::max(mine.size(), reference.size());
  if (longer == 0) return 1;
  const auto shorter = static_cast<long>(std::min(mine.size(), reference.size()));
  const auto end = std::mismatch(mine.begin(), mine.begin() + shorter, reference.begin()).first;
  return static_cast<double>(end - mine.begin()) / static_cast<double>(longer);
}

/// Different runs of three ids among all of them; 1 for a text too short to have any.
double distinct_trigrams(const std::vector<int32_t>& ids) {
  if (ids.size() < 3) return 1;
  std::set<std::array<int32_t, 3>> seen;
  for (size_t i = 0; i + 3 <= ids.size(); ++i) seen.insert({ids[i], ids[i + 1], ids[i + 2]});
  return static_cast<double>(seen.size()) / static_cast<double>(ids.size() - 2);
}

EvaluationRow row_of(const MetricInput& input, const char* metric,
                     const std::vector<double>& values) {
  EvaluationRow row;
  row.model = input.model;
  row.metric = metric;
  row.protocol = "greedy";
  row.value = mean(values);
  row.unit = "fraction";
  row.n = static_cast<int64_t>(values.size());
  row.higher_is_better = true;
  row.details = input.scored.details;
  set_interval(row, input.scored.bootstrap->of_mean(values), "prompts");
  return row;
}

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const Continuations& mine = *input.continuations;
  auto samples = nlohmann::ordered_json::array();
  std::vector<double> distinct, shared;
  for (size_t i = 0; i < mine.texts.size(); ++i) {
    const auto& [ids, text] = mine.texts[i];
    samples.push_back({{"prompt", mine.prompt_texts[i]},
                       {"text", text.empty() ? fmt::format("{}", fmt::join(ids, " ")) : text}});
    distinct.push_back(distinct_trigrams(ids));
    if (input.reference_continuations)
      shared.push_back(shared_beginning(ids, input.reference_continuations->texts[i].ids));
  }
  auto row = row_of(input, "generation_distinct", distinct);
  row.details["counts"] = "different runs of three tokens, of all of them";
  row.details["samples"] = std::move(samples);
  rows.push_back(std::move(row));
  if (shared.empty()) return;
  row = row_of(input, "generation_match", shared);
  row.details["counts"] = "tokens before the text differs from the reference's";
  row.reference = input.reference;
  rows.push_back(std::move(row));
}

}  // namespace

Metric generation_metric() {
  return {"generation",   "texts written after prompts from the data, side by side in the report",
          "fraction",     true,
          Needs::prompts, {"generation_distinct", "generation_match"},
          measure};
}

}  // namespace attar::eval
