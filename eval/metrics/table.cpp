// The table of metrics.
#include <algorithm>
#include <array>

#include "eval/metrics/metrics.h"

namespace attar::eval {

std::span<const Metric> metrics() {
  static const std::array rows = {
      size_metric(), parameters_metric(), perplexity_metric(), kl_metric(),
      top1_metric(), delta_p_metric(),    speed_metric(),      memory_metric(),
  };
  return rows;
}

const Metric* find_metric(std::string_view name) {
  for (const auto& metric : metrics())
    if (metric.name == name ||
        std::find(metric.rows.begin(), metric.rows.end(), name) != metric.rows.end())
      return &metric;
  return nullptr;
}

EvaluationRow token_row(const MetricInput& input, std::string metric, double value,
                        std::string unit, const std::optional<Interval>& interval) {
  EvaluationRow row;
  row.model = input.model;
  row.metric = std::move(metric);
  row.protocol = "gptq";
  row.value = value;
  row.unit = std::move(unit);
  row.n = input.scores->count();
  row.details = input.token_details;
  if (interval) {
    row.ci_low = interval->low;
    row.ci_high = interval->high;
    row.details["interval"] = "95 %, bootstrap over windows";
  }
  return row;
}

}  // namespace attar::eval
