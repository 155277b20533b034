#include "compress/pipeline/sweep.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/pipeline/report_table.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;
using report::Model;

/// One line of the budget.
struct Limit {
  std::string metric;
  double bound;
  bool at_most;
};

std::vector<Limit> limits_of(const SweepBudget& budget) {
  std::vector<Limit> limits;
  if (budget.bytes) limits.push_back({"model_bytes", static_cast<double>(*budget.bytes), true});
  if (budget.memory)
    limits.push_back({"peak_rss_bytes", static_cast<double>(*budget.memory), true});
  if (budget.decode_tokens_per_s)
    limits.push_back({"decode_tokens_per_s", *budget.decode_tokens_per_s, false});
  if (budget.prefill_tokens_per_s)
    limits.push_back({"prefill_tokens_per_s", *budget.prefill_tokens_per_s, false});
  return limits;
}

std::string unit_of(const std::string& metric) {
  return metric.ends_with("_bytes") ? "bytes" : "tokens/s";
}

std::string limit_text(const Limit& limit) {
  return fmt::format("{} {} {}", limit.metric, limit.at_most ? "at most" : "at least",
                     report::format_value(limit.bound, unit_of(limit.metric)));
}

/// What a model needs beyond the budget, "model_bytes 8.2 MB"; "" when nothing.
std::string beyond(const Model& model, const std::vector<Limit>& limits) {
  std::string text;
  for (const auto& limit : limits) {
    const auto value = model.value(limit.metric);
    const bool met = value && (limit.at_most ? *value <= limit.bound : *value >= limit.bound);
    if (met) continue;
    text += text.empty() ? "" : ", ";
    text += value ? fmt::format("{} {}", limit.metric,
                                report::format_value(*value, unit_of(limit.metric)))
                  : limit.metric + " was not measured";
  }
  return text;
}

/// The metric asked for, else the first of the usual ones that was measured; "" when none was.
std::string metric_of(const SweepSpec& sweep, const std::vector<const Model*>& models) {
  if (!sweep.metric.empty()) return sweep.metric;
  for (const char* metric : {"perplexity", "kl_mean", "accuracy", "accuracy_norm", "exact_match"})
    if (std::any_of(models.begin(), models.end(),
                    [&](const Model* m) { return m->value(metric).has_value(); }))
      return metric;
  return "";
}

const Model* best_of(const std::vector<const Model*>& models, const std::string& metric) {
  const Model* best = nullptr;
  for (const auto* model : models) {
    const auto value = model->value(metric);
    if (!value) continue;
    const bool higher = model->find(metric)->higher_is_better;
    if (!best || (higher ? *value > *best->value(metric) : *value < *best->value(metric)))
      best = model;
  }
  return best;
}

std::string value_text(const Model& model, const std::string& metric) {
  const EvaluationRow* row = model.find(metric);
  return row ? report::format_value(row->value, row->unit) : "not measured";
}

std::string joined(const std::vector<Limit>& limits) {
  std::string text;
  for (const auto& limit : limits) text += (text.empty() ? "" : ", ") + limit_text(limit);
  return text;
}

/// The largest share by which a model misses a limit.
double excess(const Model& model, const std::vector<Limit>& limits) {
  double most = 0;
  for (const auto& limit : limits) {
    const auto value = model.value(limit.metric);
    if (!value || *value <= 0) return 1e300;
    most = std::max(most, limit.at_most ? *value / limit.bound : limit.bound / *value);
  }
  return most;
}

Json advice(const std::vector<const Model*>& all, const std::vector<const Model*>& within,
            const Model* best, const std::vector<Limit>& limits, const std::string& metric) {
  Json lines = Json::array();
  if (metric.empty()) return {"Nothing was measured that models can be judged by."};
  const std::string budget = limits.empty() ? "without a budget" : "within " + joined(limits);
  if (best) {
    const auto size = best->value("model_bytes");
    lines.push_back(fmt::format("Recommended: {}, the best of {} models {}: {} {}{}.", best->name,
                                within.size(), budget, metric, value_text(*best, metric),
                                size ? ", " + report::format_value(*size, "bytes") : ""));
    return lines;
  }
  lines.push_back(fmt::format("None of {} models stays {}.", all.size(), budget));
  const auto closest = std::min_element(
      all.begin(), all.end(),
      [&](const Model* a, const Model* b) { return excess(*a, limits) < excess(*b, limits); });
  if (closest != all.end())
    lines.push_back(
        fmt::format("{} comes closest: {}.", (*closest)->name, beyond(**closest, limits)));
  return lines;
}

}  // namespace

Json sweep_report(const SweepSpec& sweep, const RunReport& report) {
  const auto models = report::models_of(report);
  const auto limits = limits_of(sweep.budget);
  std::vector<const Model*> all, within;
  Json json = {{"axes", Json::array()}, {"models", Json::array()}, {"budget", Json::object()}};
  for (const auto& axis : sweep.axes)
    json["axes"].push_back({{"option", axis.stage + "." + axis.key}, {"values", axis.values}});
  for (const auto& limit : limits) json["budget"][limit.metric] = limit.bound;
  for (const auto& model : models) {
    const auto settings = sweep.settings.find(model.name);
    if (settings == sweep.settings.end()) continue;
    const std::string over = beyond(model, limits);
    Json values = Json::object();
    for (const auto& [option, value] : settings->second) values[option] = value;
    json["models"].push_back({{"model", model.name}, {"settings", values}, {"beyond", over}});
    all.push_back(&model);
    if (over.empty()) within.push_back(&model);
  }
  const std::string metric = metric_of(sweep, all);
  const Model* best = best_of(within, metric);
  json["metric"] = metric;
  json["recommended"] = best ? Json(best->name) : Json();
  json["advice"] = advice(all, within, best, limits, metric);
  return json;
}

}  // namespace attar
