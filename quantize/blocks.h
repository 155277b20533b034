// Matrices in GGUF's block types, rounded with GPTQ's error feedback on the scales that the type's
// own search finds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "compress/formats/gguf/tensor_types.h"
#include "compress/formats/weights.h"
#include "quantize/hessian.h"

namespace attar {

struct BlockMatrix {
  const gguf::TensorType* type = nullptr;
  int64_t rows = 0, cols = 0;
  std::vector<std::byte> bytes;  // [rows, type->row_bytes(cols)]
};

std::vector<float> dequantize(const BlockMatrix& matrix);
DenseTensor dense_of(const BlockMatrix& matrix);

/// Encodes w [rows, cols] with the type's scale search, the square of each column's error weighted
/// by `importance` [cols] (or not, when empty); with a factor of the inputs' H, the codes are then
/// chosen again by GPTQ while the scales stay. `type` has put_codes; cols is a multiple of its
/// block.
BlockMatrix round_to_blocks(std::span<const float> w, int64_t rows, int64_t cols,
                            const gguf::TensorType& type, std::span<const float> importance,
                            const HessianFactor* factor);

}  // namespace attar
