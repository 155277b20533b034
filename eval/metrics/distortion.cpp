// How far the hidden states have drifted from the reference's after each block: where in a model a
// compression hurts.
#include <cmath>

#include "eval/metrics/metrics.h"

namespace attar::eval {
namespace {

/// √(Σ ‖h − h_reference‖² / Σ ‖h_reference‖²) over all positions, by block.
void measure(const MetricInput& input, std::vector<EvaluationRow>& rows) {
  const TokenScores& scores = *input.scored.model;
  if (scores.deviation.empty()) return;  // of another shape: evaluate() says so
  const auto units = static_cast<size_t>(scores.units());
  const size_t blocks = scores.deviation.size() / units / 2;
  std::vector<double> differences(units), norms(units);
  auto layers = nlohmann::ordered_json::array();
  for (size_t b = 0; b < blocks; ++b) {
    for (size_t u = 0; u < units; ++u) {
      differences[u] = scores.deviation[(u * blocks + b) * 2];
      norms[u] = scores.deviation[(u * blocks + b) * 2 + 1];
    }
    layers.push_back({{"block", b}, {"relative_error", std::sqrt(ratio(differences, norms))}});
  }
  auto interval = input.scored.bootstrap->of_ratio(differences, norms);
  if (interval) interval = Interval{std::sqrt(interval->low), std::sqrt(interval->high)};
  auto row =
      scored_row(input, "block_error", std::sqrt(ratio(differences, norms)), "fraction", interval);
  row.reference = input.reference;
  row.details["counts"] = "hidden states after the last block; layers has every block";
  row.details["layers"] = std::move(layers);
  rows.push_back(std::move(row));
}

}  // namespace

Metric distortion_metric() {
  Metric metric{"distortion",   "relative error of the hidden states, block by block",
                "fraction",     false,
                Needs::windows, {"block_error"},
                measure};
  metric.relative = true;
  metric.looks_inside = true;
  return metric;
}

}  // namespace attar::eval
