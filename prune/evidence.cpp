#include "prune/evidence.h"

#include <cmath>

#include "compress/base/error.h"
#include "compress/kernels/gram.h"

namespace attar {
namespace {

double square(float value) {
  return static_cast<double>(value) * static_cast<double>(value);
}

void require_finite_statistics(const std::string& tensor, const UnitStatistics& statistics) {
  for (const double value : statistics.squares)
    if (!std::isfinite(value))
      throw failure("the calibration inputs of " + tensor + " are not finite", tensor,
                    "the model overflows on this data; look at its activations and its float type");
}

}  // namespace

BlockEvidence pass_watched(HiddenStream& stream, const Block& block, int64_t index,
                           const std::vector<DependencyGroup>& groups, const ModelSpec& spec,
                           bool grams) {
  BlockEvidence evidence;
  for (const DependencyGroup& group : groups)
    if (group.block == index)
      evidence.inputs[group.columns.front().tensor] =
          UnitStatistics(group.units, group.columns.front().per_unit);
  const auto observe = [&](const LinearSpec& linear, const float* x, int64_t rows) {
    const auto found = evidence.inputs.find(linear.weight);
    if (found == evidence.inputs.end()) return;
    found->second.add(x, rows);
    if (!grams) return;
    auto& gram = evidence.grams[linear.weight];
    gram.resize(static_cast<size_t>(linear.in * linear.in));
    accumulate_gram(x, rows, linear.in, gram.data());
  };
  for (int64_t window = 0; window < stream.windows(); ++window) {
    const int64_t length = stream.window_length(window);
    const std::vector<float> before(stream.window(window),
                                    stream.window(window) + length * spec.hidden);
    stream.pass_window(block, index, window, observe);
    evidence.block.add(before.data(), stream.window(window), length, spec.hidden);
  }
  for (const auto& [tensor, statistics] : evidence.inputs)
    require_finite_statistics(tensor, statistics);
  return evidence;
}

UnitEvidence unit_evidence(const DependencyGroup& group, const WeightSource& weights,
                           const UnitStatistics* inputs) {
  UnitEvidence evidence;
  evidence.units = group.units;
  evidence.per_unit = group.columns.front().per_unit;
  evidence.inputs = inputs;
  evidence.column_squares.resize(static_cast<size_t>(evidence.units * evidence.per_unit));
  evidence.weight_squares.resize(static_cast<size_t>(evidence.units));
  for (const auto& part : group.rows) {
    const std::vector<float> values = weights.floats(part.tensor);
    const auto per_unit = static_cast<int64_t>(values.size()) / group.units;
    for (size_t i = 0; i < values.size(); ++i)
      evidence.weight_squares[i / static_cast<size_t>(per_unit)] += square(values[i]);
  }
  for (const auto& part : group.columns) {
    const std::vector<float> values = weights.floats(part.tensor);
    const auto cols = static_cast<size_t>(group.units * part.per_unit);
    for (size_t i = 0; i < values.size(); ++i) {
      const size_t column = i % cols;
      evidence.weight_squares[column / static_cast<size_t>(part.per_unit)] += square(values[i]);
      evidence.column_squares[column] += square(values[i]);
    }
  }
  return evidence;
}

}  // namespace attar
