// exp of the mean loss over all predictions.
#include <cmath>

#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

/// perplexity(model) / perplexity(reference) over the same windows, and how sure the difference is:
/// p_value is twice the smaller share of resamples on one side of equality.
nlohmann::ordered_json paired(const MetricInput& input, const std::vector<double>& means) {
  const auto reference = window_means(input.reference_scores->loss, input.scores->windows);
  std::vector<double> differences;
  for (size_t w = 0; w < means.size(); ++w) differences.push_back(means[w] - reference[w]);
  nlohmann::ordered_json json = {{"reference", input.reference},
                                 {"ratio", std::exp(mean(differences))}};
  if (!input.bootstrap->possible()) return json;
  const auto values =
      input.bootstrap->resample(1, [&](std::span<const int32_t> drawn, double* out) {
        double sum = 0;
        for (size_t w = 0; w < differences.size(); ++w) sum += drawn[w] * differences[w];
        *out = sum / static_cast<double>(differences.size());
      });
  const Interval interval = Bootstrap::interval(values, 1, 0);
  json["ratio_ci_low"] = std::exp(interval.low);
  json["ratio_ci_high"] = std::exp(interval.high);
  int64_t at_most = 0, at_least = 0;
  for (const double value : values) {
    at_most += value <= 0;
    at_least += value >= 0;
  }
  json["p_value"] = std::min(1.0, 2.0 * static_cast<double>(std::min(at_most, at_least)) /
                                      static_cast<double>(values.size()));
  return json;
}

void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const auto means = window_means(input.scores->loss, input.scores->windows);
  auto interval = input.bootstrap->of_mean(means);
  if (interval) interval = Interval{std::exp(interval->low), std::exp(interval->high)};
  // All windows are equally long, so the mean over predictions is the mean of window means.
  auto row = token_row(input, "perplexity", std::exp(mean(means)), "", interval);
  row.details["loss_nats"] = mean(means);
  if (input.reference_scores && input.reference != input.model)
    row.details["paired"] = paired(input, means);
  rows.push_back(std::move(row));
}

}  // namespace

Metric perplexity_metric() {
  return {"perplexity",
          "exp of the mean loss (protocol gptq: non-overlapping windows)",
          "",
          false,
          Needs::tokens,
          {"perplexity"},
          measure};
}

}  // namespace attar::eval
