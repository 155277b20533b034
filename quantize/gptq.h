// GPTQ: rounds a matrix column by column and lets the columns still to come make up for each error.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/formats/quantized_matrix.h"
#include "quantize/hessian.h"
#include "quantize/scales.h"

namespace attar {

struct GptqOptions {
  ScaleOptions scales;
  /// Choose a group's scales when its first column is due, from the values already corrected,
  /// instead of from the original matrix. Needs ColumnOrder::none.
  bool running_scales = false;
};

struct GptqResult {
  QuantizedMatrix matrix;
  std::vector<double> row_losses;  // [rows] e H eᵀ with the damped H
};

/// Frantar et al., GPTQ (arXiv 2210.17323), algorithm 1, with `factor` of the inputs' H. w [rows,
/// factor.size], finite; the factor must be ok. Rows are independent: any thread count gives the
/// same bytes.
GptqResult gptq(std::span<const float> w, int64_t rows, const HessianFactor& factor,
                const QuantLayout& layout, const GptqOptions& options = {});

struct GptqCodes {
  std::vector<uint8_t> codes;  // [rows, cols], as stored
  std::vector<double> row_losses;
};

/// The codes alone, of `layout`'s bits and groups, on scales and zeros (of any value) that are
/// given.
GptqCodes gptq_codes(std::span<const float> w, int64_t rows, const HessianFactor& factor,
                     const QuantLayout& layout, const GroupScales& scales);

/// The same on scales that are given.
GptqResult gptq(std::span<const float> w, int64_t rows, const HessianFactor& factor,
                const QuantLayout& layout, const GroupScales& scales);

}  // namespace attar
