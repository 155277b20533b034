#include "eval/baseline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
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

/// What each unit adds to a row's value, see keep_units().
struct Units {
  bool logarithmic = false;
  std::vector<double> sums, counts;
};

std::optional<Units> units_of(const EvaluationRow& row) {
  const Json json = detail(row, "by_unit");
  if (!json.is_object()) return std::nullopt;
  Units units{json.value("logarithmic", false), json.value("sums", std::vector<double>()), {}};
  units.counts = json.value("counts", std::vector<double>(units.sums.size(), 1));
  if (units.counts.size() != units.sums.size()) return std::nullopt;
  return units;
}

/// How the value changed on the same units, with its interval: the ratio of logarithmic values, the
/// difference of others.
struct Change {
  double value = 0, none = 0;
  Interval interval;
  const char* word = "changed by";
};

std::optional<Change> change_by_units(const EvaluationRow& row, const EvaluationRow& before) {
  const auto now = units_of(row), then = units_of(before);
  if (!now || !then || now->counts != then->counts || now->logarithmic != then->logarithmic ||
      now->sums.size() < 2)
    return std::nullopt;
  const bool logarithmic = now->logarithmic;
  const auto value = [&](double d) { return logarithmic ? std::exp(d) : d; };
  std::vector<double> differences;
  for (size_t u = 0; u < now->sums.size(); ++u) differences.push_back(now->sums[u] - then->sums[u]);
  const Json seed = detail(row, "seed");
  const Bootstrap bootstrap(std::ssize(differences), seed.is_number() ? seed.get<uint64_t>() : 0);
  const auto interval = bootstrap.of_ratio(differences, now->counts);
  return Change{value(ratio(differences, now->counts)),
                value(0),
                {value(interval->low), value(interval->high)},
                logarithmic ? "times" : "changed by"};
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

std::string units_name(const EvaluationRow& row) {
  const Json name = detail(row, "units");
  return name.is_string() ? name.get<std::string>() : "texts";
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
    if (const auto change = change_by_units(row, *before)) {
      ++result.judged;
      const bool worse = row.higher_is_better ? change->interval.high < change->none
                                              : change->interval.low > change->none;
      if (worse)
        result.regressions.push_back(sentence(row, *before) +
                                     fmt::format(", {} {:.4g} ({:.4g} to {:.4g}) on the same {}",
                                                 change->word, change->value, change->interval.low,
                                                 change->interval.high, units_name(row)));
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
