// NF4 with double quantization (Dettmers et al.: QLoRA, 2023, section 3): 4-bit codes of a normal
// distribution's quantiles in blocks of 64, whose scales are themselves held in 8 bits. As
// bitsandbytes computes it. Free of LibTorch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/formats/levels.h"
#include "compress/model/kernels.h"

namespace attar {

/// A matrix, flattened by rows.
struct Nf4Matrix {
  int64_t rows = 0, cols = 0, block = 64;
  std::vector<uint8_t> packed;       // two codes a byte, the earlier element in the high half
  std::vector<uint8_t> scale_codes;  // of each block's largest magnitude, [blocks]
  std::vector<float> nested_scales;  // of each 256 blocks
  float offset = 0;                  // mean of the largest magnitudes

  int64_t blocks() const { return (rows * cols + block - 1) / block; }
  /// The largest magnitude of a block, as its 8 bits give it.
  float scale(int64_t index) const;
  uint64_t bytes() const {
    return packed.size() + scale_codes.size() + 4 * nested_scales.size() + 4;
  }
};

/// values [rows · cols], finite.
Nf4Matrix quantize_nf4(std::span<const float> values, int64_t rows, int64_t cols,
                       int64_t block = 64);

/// Rows [begin, end) -> to [(end − begin), stride ≥ cols].
void dequantize_nf4(const Nf4Matrix& matrix, int64_t begin, int64_t end, float* to, int64_t stride);
void dequantize_nf4(const Nf4Matrix& matrix, int64_t begin, int64_t end, kernel::Bf16* to,
                    int64_t stride);

}  // namespace attar
