#include "quantize/blocks.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "quantize/gptq.h"

namespace attar {
namespace {

/// value = base + code · step as (code − zero) · scale in the signed convention. A group whose step
/// is 0 holds one value, whatever its codes: its scale is too small to matter.
GroupScales as_scales(const gguf::CodeGrid& grid, int offset) {
  GroupScales scales;
  for (size_t i = 0; i < grid.steps.size(); ++i) {
    const float step =
        grid.steps[i] != 0 ? grid.steps[i] : std::max(1e-6f * std::abs(grid.bases[i]), 1e-20f);
    scales.scales.push_back(step);
    scales.zeros.push_back(-static_cast<float>(offset) - grid.bases[i] / step);
  }
  return scales;
}

}  // namespace

std::vector<float> dequantize(const BlockMatrix& matrix) {
  return gguf::decode(*matrix.type, matrix.bytes, matrix.rows, matrix.cols);
}

DenseTensor dense_of(const BlockMatrix& matrix) {
  return dense_tensor(dequantize(matrix), {matrix.rows, matrix.cols});
}

BlockMatrix round_to_blocks(std::span<const float> w, int64_t rows, int64_t cols,
                            const gguf::TensorType& type, std::span<const float> importance,
                            const HessianFactor* factor) {
  assert(type.put_codes != nullptr && cols % type.block == 0);
  BlockMatrix matrix{&type, rows, cols, gguf::encode(type, w, rows, cols, importance)};
  if (factor == nullptr) return matrix;
  const QuantLayout layout{type.bits, type.group, false, DType::f32, false};
  const auto scales =
      as_scales(gguf::grid_of(type, matrix.bytes, rows, cols), code_range(type.bits).offset);
  const GptqCodes made = gptq_codes(w, rows, *factor, layout, scales);
  gguf::put_codes(type, made.codes, rows, cols, matrix.bytes);
  return matrix;
}

}  // namespace attar
