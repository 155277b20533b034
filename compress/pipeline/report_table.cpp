#include "compress/pipeline/report_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/pipeline/plan.h"

namespace attar::report {
namespace {

struct KnownColumn {
  const char *metric, *title;
};
constexpr KnownColumn kColumns[] = {
    {"model_bytes", "size"},
    {"bits_per_weight", "bits/weight"},
    {"parameters", "parameters"},
    {"perplexity", "perplexity"},
    {"kl_mean", "KL mean"},
    {"kl_p99", "KL p99"},
    {"top1_agreement", "top-1"},
    {"prefill_tokens_per_s", "prefill tok/s"},
    {"decode_tokens_per_s", "decode tok/s"},
    {"peak_rss_bytes", "peak memory"},
};

/// Metrics that refine another one.
constexpr const char* kRefining[] = {"kl_p50",
                                     "kl_p90",
                                     "kl_p99_9",
                                     "kl_max",
                                     "rms_delta_p",
                                     "block_error",
                                     "load_seconds",
                                     "batch_decode_tokens_per_s",
                                     "first_token_seconds",
                                     "generation_distinct",
                                     "generation_match",
                                     "exact_match_flexible"};

std::string human_count(double value) {
  const char* units[] = {"", " k", " M", " G"};
  size_t unit = 0;
  if (value >= 9999.5)
    for (; value >= 999.95 && unit < 3; ++unit) value /= 1000;
  return unit == 0 ? with_commas(std::llround(value))
                   : fmt::format("{}{}", significant(value, 4), units[unit]);
}

}  // namespace

const EvaluationRow* Model::find(const std::string& metric) const {
  const auto found = values.find(metric);
  return found == values.end() ? nullptr : found->second;
}

std::optional<double> Model::value(const std::string& metric) const {
  const EvaluationRow* row = find(metric);
  return row && std::isfinite(row->value) ? std::optional(row->value) : std::nullopt;
}

std::string metric_key(const std::vector<EvaluationRow>& rows, const EvaluationRow& row) {
  const auto first = std::find_if(rows.begin(), rows.end(),
                                  [&](const EvaluationRow& r) { return r.metric == row.metric; });
  return first == rows.end() || first->protocol == row.protocol
             ? row.metric
             : row.metric + " (" + row.protocol + ")";
}

std::vector<Model> models_of(const RunReport& report) {
  std::vector<Model> models;
  const auto of = [&](const std::string& name) {
    return std::find_if(models.begin(), models.end(),
                        [&](const Model& model) { return model.name == name; });
  };
  for (const auto& row : report.evaluation) {
    auto model = of(row.model);
    if (model == models.end()) {
      model = models.insert(models.end(), Model());
      model->name = row.model;
      for (const auto& stage : report.stages)
        if (stage.name == row.model) model->stage = &stage;
    }
    model->values.emplace(metric_key(report.evaluation, row), &row);
  }
  for (const auto& row : report.evaluation)
    if (const auto model = of(row.reference); model != models.end()) model->is_reference = true;
  return models;
}

Columns columns_of(const RunReport& report) {
  std::vector<std::string> present;
  for (const auto& row : report.evaluation) {
    const std::string key = metric_key(report.evaluation, row);
    if (std::find(present.begin(), present.end(), key) == present.end()) present.push_back(key);
  }
  Columns columns;
  for (const auto& known : kColumns) {
    const auto found = std::find(present.begin(), present.end(), known.metric);
    if (found == present.end()) continue;
    columns.main.push_back({known.metric, known.title});
    present.erase(found);
  }
  for (const auto& metric : present) {
    const bool refines =
        std::find(std::begin(kRefining), std::end(kRefining), metric) != std::end(kRefining);
    (refines ? columns.other : columns.main).push_back({metric, metric});
  }
  return columns;
}

const Model* reference_model(const std::vector<Model>& models) {
  const auto found = std::find_if(models.begin(), models.end(),
                                  [](const Model& model) { return model.is_reference; });
  return found == models.end() ? nullptr : &*found;
}

const Model* final_model(const std::vector<Model>& models) {
  for (auto model = models.rbegin(); model != models.rend(); ++model)
    if (!model->is_reference) return &*model;
  return models.empty() ? nullptr : &models.front();
}

std::string with_commas(int64_t value) {
  const std::string digits = std::to_string(value);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    const size_t left = digits.size() - i;
    if (i > 0 && left % 3 == 0 && digits[i - 1] != '-') text += ',';
    text += digits[i];
  }
  return text;
}

std::string significant(double value, int digits) {
  if (value == 0) return "0";
  if (!std::isfinite(value)) return "not finite";
  const double magnitude = std::fabs(value);
  if (magnitude < 1e-4) return fmt::format("{:.{}e}", value, digits - 1);
  const int decimals = digits - 1 - static_cast<int>(std::floor(std::log10(magnitude)));
  return fmt::format("{:.{}f}", value, std::max(0, decimals));
}

std::string format_value(double value, std::string_view unit) {
  if (!std::isfinite(value)) return "not finite";
  if (unit == "bytes") return human_bytes(static_cast<uint64_t>(std::clamp(value, 0.0, 1e18)));
  if (unit == "fraction") return fmt::format("{:.2f} %", 100 * value);
  if (unit == "nats") return significant(value, 3);
  if (unit == "s") return value < 1 ? significant(1000 * value, 3) + " ms" : format_seconds(value);
  if (unit == "bits") return fmt::format("{:.2f}", value);
  if (unit == "count") return human_count(value);
  if (unit == "tokens/s")
    return value >= 100 ? with_commas(std::llround(value)) : significant(value, 3);
  return significant(value, 5);
}

std::string format_interval(const EvaluationRow& row) {
  if (!row.ci_low || !row.ci_high) return "";
  const double half = (*row.ci_high - *row.ci_low) / 2;
  return row.unit == "fraction" ? fmt::format("± {} %", significant(100 * half, 2))
                                : fmt::format("± {}", significant(half, 2));
}

std::string format_paired(const EvaluationRow& row) {
  if (!row.details.is_object()) return "";
  const auto paired = row.details.value("paired", nlohmann::ordered_json());
  if (!paired.is_object()) return "";
  const auto number = [&](const std::string& key) -> std::optional<double> {
    const auto found = paired.find(key);
    return found != paired.end() && found->is_number() ? std::optional(found->get<double>())
                                                       : std::nullopt;
  };
  const bool is_ratio = number("ratio").has_value();
  const std::string name = is_ratio ? "ratio" : "difference";
  const auto value = number(name), low = number(name + "_ci_low"), high = number(name + "_ci_high"),
             p = number("p_value");
  if (!value || !std::isfinite(*value)) return "";
  std::string text = fmt::format("{:+.2f} %", 100 * (is_ratio ? *value - 1 : *value));
  if (low && high) text += fmt::format(" ± {}", significant(50 * (*high - *low), 2));
  if (p) text += *p < 0.001 ? ", p < 0.001" : fmt::format(", p = {}", significant(*p, 2));
  return text;
}

std::string format_seconds(double seconds) {
  if (!std::isfinite(seconds)) return "";
  if (seconds < 60) return significant(seconds, seconds < 10 ? 2 : 3) + " s";
  const int64_t whole = std::llround(seconds);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

Checks count_checks(const RunReport& report) {
  Checks count;
  for (const auto& stage : report.stages) {
    count.fallbacks += stage.report.fallbacks.size();
    for (const auto& check : stage.report.checks) ++(check.passed ? count.passed : count.failed);
  }
  return count;
}

}  // namespace attar::report
