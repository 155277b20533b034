// The table of metrics.
#include <algorithm>
#include <array>
#include <cmath>

#include "eval/metrics/metrics.h"

namespace attar::eval {

std::span<const Metric> metrics() {
  static const std::array rows = {
      size_metric(),         parameters_metric(),      perplexity_metric(), llama_cpp_metric(),
      lm_eval_word_metric(), lm_eval_byte_metric(),    kl_metric(),         top1_metric(),
      delta_p_metric(),      distortion_metric(),      choices_metric(),    last_word_metric(),
      exact_match_metric(),  generation_metric(),      accuracy_metric(),   f1_metric(),
      confusion_metric(),    label_agreement_metric(), class_kl_metric(),   recall_metric(),
      spearman_metric(),     cosine_metric(),          speed_metric(),      memory_metric(),
  };
  return rows;
}

std::vector<const Metric*> find_metrics(std::string_view name) {
  if (name == "perplexity:gptq") name = "perplexity";
  // "perplexity:llama_cpp" is what "llama_cpp" means, in full.
  if (name.starts_with("perplexity:")) name.remove_prefix(11);
  std::vector<const Metric*> found;
  for (const auto& metric : metrics()) {
    const bool has_row =
        std::find(metric.rows.begin(), metric.rows.end(), name) != metric.rows.end();
    if (metric.name == name || (has_row && metric.by_default)) found.push_back(&metric);
  }
  return found;
}

EvaluationRow scored_row(const MetricInput& input, std::string metric, double value,
                         std::string unit, const std::optional<Interval>& interval) {
  EvaluationRow row;
  row.model = input.model;
  row.metric = std::move(metric);
  row.protocol = input.scored.protocol;
  row.value = value;
  row.unit = std::move(unit);
  row.n = input.scored.model->count();
  row.details = input.scored.details;
  set_interval(row, interval, input.scored.details.value("units", "units"));
  return row;
}

void set_interval(EvaluationRow& row, const std::optional<Interval>& interval,
                  std::string_view units) {
  if (!interval) return;
  row.ci_low = interval->low;
  row.ci_high = interval->high;
  row.details["interval"] = "95 %, bootstrap over " + std::string(units);
}

void keep_units(EvaluationRow& row, std::span<const double> numerators,
                std::span<const double> denominators, bool logarithmic) {
  auto& json = row.details["by_unit"] = {{"logarithmic", logarithmic}, {"sums", numerators}};
  const bool ones = std::all_of(denominators.begin(), denominators.end(),
                                [](double denominator) { return denominator == 1; });
  if (!ones) json["counts"] = denominators;
}

nlohmann::ordered_json paired(const std::string& reference, const Bootstrap& bootstrap,
                              std::span<const double> model, std::span<const double> reference_sums,
                              std::span<const double> denominators, bool logarithmic) {
  std::vector<double> differences;
  for (size_t u = 0; u < model.size(); ++u) differences.push_back(model[u] - reference_sums[u]);
  const auto value = [&](double d) { return logarithmic ? std::exp(d) : d; };
  const std::string name = logarithmic ? "ratio" : "difference";
  nlohmann::ordered_json json = {{"reference", reference},
                                 {name, value(ratio(differences, denominators))}};
  const auto resampled = bootstrap.ratios(differences, denominators);
  if (resampled.empty()) return json;
  const Interval interval = Bootstrap::interval(resampled, 1, 0);
  json[name + "_ci_low"] = value(interval.low);
  json[name + "_ci_high"] = value(interval.high);
  json["p_value"] = Bootstrap::p_value(resampled);
  return json;
}

}  // namespace attar::eval
