// Pruning criteria: how important a unit or a layer is. One file each in criteria/, one row each in
// the table.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "prune/statistics.h"

namespace attar {

/// What a criterion may look at for the units of one block.
struct UnitEvidence {
  int64_t units = 0, per_unit = 1;  // columns of the output projection that a unit owns
  const UnitStatistics* inputs =
      nullptr;                         // of the output projection; null without calibration data
  std::vector<double> column_squares;  // [units · per_unit] ‖W_out[:, column]‖²
  std::vector<double>
      weight_squares;  // [units] Σ w² over every tensor slice that would go with the unit
};

/// One row: `units` for width, `layer` for depth; the other is null.
struct Criterion {
  std::string_view name, summary;
  bool needs_data = true;
  std::vector<double> (*units)(const UnitEvidence& evidence) =
      nullptr;  // [units], higher = more important
  double (*layer)(const BlockStatistics& statistics) = nullptr;
};

Criterion activation_criterion();
Criterion weighted_activation_criterion();
Criterion magnitude_criterion();
Criterion block_influence_criterion();

/// The table.
std::span<const Criterion> criteria();
/// The row of that name, or null.
const Criterion* find_criterion(std::string_view name);

}  // namespace attar
