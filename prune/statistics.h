// What calibration data says about the inputs of a linear layer whose columns belong to units (FFN
// neurons, attention heads that share keys and values).
#pragma once

#include <cstdint>
#include <vector>

namespace attar {

struct UnitStatistics {
  UnitStatistics() = default;
  UnitStatistics(int64_t unit_count, int64_t columns_per_unit);

  /// Adds x [rows, units · per_unit]. Rows are summed in order: the same for any thread count.
  void add(const float* x, int64_t rows);

  int64_t units = 0, per_unit = 0;
  int64_t rows = 0;
  std::vector<double> norms;  // [units] Σ over rows of ‖the unit's slice‖₂; |x| for single columns
  std::vector<double> squares;  // [units · per_unit] Σ over rows of x²
};

/// Cosine similarities between what enters and what leaves a block.
struct BlockStatistics {
  /// Adds rows of in and out [rows, hidden].
  void add(const float* in, const float* out, int64_t rows, int64_t hidden);

  int64_t rows = 0;
  double cosines = 0;  // Σ over rows
};

}  // namespace attar
