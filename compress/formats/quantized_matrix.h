// A weight matrix quantized to integers, as plain data: what the algorithms return, the formats
// store and the kernels pack.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/formats/dtype.h"

namespace attar {

/// How a matrix is quantized: w ≈ (code − zero) · scale with one (scale, zero) per row and group of
/// input columns.
struct QuantLayout {
  int bits = 4;           // 2 … 8
  int64_t group = 0;      // input columns that share a scale; 0 = the whole row ("channel")
  bool symmetric = true;  // zero = 2^(bits−1) everywhere
  DType scale_dtype = DType::f32;  // what the scales are rounded to on disk
  bool int8_inputs = false;        // the layer's inputs are rounded to int8, one scale a token
  friend bool operator==(const QuantLayout&, const QuantLayout&) = default;
  std::string name() const;  // "int4 g32 sym"
};

struct QuantizedMatrix {
  QuantLayout layout;
  int64_t rows = 0, cols = 0;  // [N out, K in]
  std::vector<uint8_t> codes;  // [rows, cols], 0 … 2^bits − 1
  std::vector<float> scales;   // [rows, groups()], already rounded to layout.scale_dtype
  std::vector<uint8_t> zeros;  // [rows, groups()]; empty when symmetric

  int64_t group() const { return layout.group == 0 ? cols : layout.group; }
  int64_t groups() const { return (cols + group() - 1) / group(); }
  int zero(int64_t row, int64_t g) const {
    return zeros.empty() ? 1 << (layout.bits - 1) : zeros[static_cast<size_t>(row * groups() + g)];
  }
};

/// [rows, cols] floats: (code − zero) · scale in float32.
std::vector<float> dequantize(const QuantizedMatrix& q);

/// Bits that codes, scales and zeros take on disk, per weight.
double bits_per_weight(const QuantLayout& layout, int64_t cols);

}  // namespace attar
