// Scales and zero points of a quantized matrix: one pair per row and group of input columns.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/formats/quantized_matrix.h"

namespace attar {

/// The integers that codes may take, in the signed convention of compressed-tensors; a stored code
/// is `code + offset`.
struct CodeRange {
  float low = -8, high = 7;
  int offset = 8;
};
/// bits in 2 … 8.
CodeRange code_range(int bits);

enum class ScaleSearch {
  minmax,  // the range of the group's values
  search,  // the range with the smallest error after rounding
};

struct ScaleOptions {
  ScaleSearch search = ScaleSearch::minmax;
  /// Symmetric: max|w| gets the highest code (scale max|w| / high) instead of half a step more.
  bool narrow = false;
  /// Symmetric: a search may choose negative scales, which turn the longer end of the integer range
  /// to the other side.
  bool signed_scales = false;
  /// What a search minimizes: Σ importance · e², [cols]; empty = all 1 …
  std::span<const float> importance;
  /// … or, when given, e H_g eᵀ with the group's square of H [cols, cols].
  std::span<const float> hessian;
};

/// [rows, groups] pairs; value = (code − zero) · scale.
struct GroupScales {
  std::vector<float> scales;  // rounded to the layout's scale_dtype
  std::vector<float> zeros;   // integers in the signed convention; all 0 when symmetric
};

/// Rounds a scale to a float type and keeps its magnitude above zero: at least float32's epsilon.
float storable_scale(float scale, DType dtype);

/// Chooses scales for w [rows, cols] (finite). With minmax they are compressed-tensors': symmetric
/// max|w| / ((high − low) / 2); asymmetric (max − min) / (high − low), zero = round(low − min /
/// scale); the range always includes 0. Throws failure when a scale overflows scale_dtype.
GroupScales choose_scales(std::span<const float> w, int64_t rows, int64_t cols,
                          const QuantLayout& layout, const ScaleOptions& options = {});

}  // namespace attar
