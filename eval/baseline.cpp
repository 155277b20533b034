#include "eval/baseline.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "compress/base/error.h"
#include "compress/pipeline/report_table.h"
#include "eval/bootstrap.h"

namespace attar::eval {
namespace {

using Json = nlohmann::ordered_json;

Json detail(const EvaluationRow& row, const char* key) {
  return row.details.is_object() ? row.details.value(key, Json()) : Json();
}

std::optional<Interval> paired_interval(const EvaluationRow& row) {
  const Json paired = detail(row, "paired");
  if (!paired.is_object()) return std::nullopt;
  const Json low = paired.value("ratio_ci_low", Json()),
             high = paired.value("ratio_ci_high", Json());
  if (!low.is_number() || !high.is_number()) return std::nullopt;
  return Interval{low.get<double>(), high.get<double>()};
}

std::optional<Interval> interval_of(const EvaluationRow& row) {
  const bool exact = row.metric == "model_bytes" || row.metric == "bits_per_weight";
  if (exact) return Interval{row.value, row.value};
  if (!row.ci_low || !row.ci_high) return std::nullopt;
  return Interval{*row.ci_low, *row.ci_high};
}

const EvaluationRow* counterpart(const EvaluationRow& row, const RunReport& baseline) {
  const auto found = std::find_if(baseline.evaluation.begin(), baseline.evaluation.end(),
                                  [&](const EvaluationRow& other) {
                                    return other.model == row.model && other.metric == row.metric &&
                                           other.protocol == row.protocol;
                                  });
  return found == baseline.evaluation.end() ? nullptr : &*found;
}

/// "student perplexity: 46.1, baseline 45.2"
std::string sentence(const EvaluationRow& row, const EvaluationRow& before) {
  return fmt::format("{} {}: {}, baseline {}", row.model, row.metric,
                     report::format_value(row.value, row.unit),
                     report::format_value(before.value, before.unit));
}

}  // namespace

Comparison compare_with_baseline(const std::vector<EvaluationRow>& rows,
                                 const RunReport& baseline) {
  Comparison result;
  for (const auto& row : rows) {
    const EvaluationRow* before = counterpart(row, baseline);
    if (!before) continue;
    if (detail(row, "data_sha256") != detail(*before, "data_sha256")) {
      result.unjudged.push_back(sentence(row, *before) + ": on other data");
      continue;
    }
    auto now = paired_interval(row), then = paired_interval(*before);
    if (!now || !then) {
      now = interval_of(row);
      then = interval_of(*before);
    }
    if (!now || !then) {
      result.unjudged.push_back(sentence(row, *before) + ": no interval says what noise is");
      continue;
    }
    ++result.judged;
    const bool worse = row.higher_is_better ? now->high < then->low : now->low > then->high;
    if (worse) result.regressions.push_back(sentence(row, *before));
  }
  if (result.judged == 0 && result.unjudged.empty())
    throw bad_input("the baseline has no row of these models and metrics", "--baseline",
                    "models go by their names: give them the baseline's, name=path");
  return result;
}

}  // namespace attar::eval
