// A weight matrix quantized to integers, as plain data: what the algorithms return, the formats
// store and the kernels pack.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/formats/dtype.h"
#include "compress/formats/levels.h"

namespace attar {

/// How a matrix is quantized: w ≈ (code − zero) · scale with one (scale, zero) per row and group of
/// input columns, or w ≈ code · scale + offset, or w ≈ level[code] · scale.
struct QuantLayout {
  int bits = 4;           // 2 … 8
  int64_t group = 0;      // input columns that share a scale; 0 = the whole row ("channel")
  bool symmetric = true;  // zero = 2^(bits−1) everywhere
  DType scale_dtype = DType::f32;  // what the scales are rounded to on disk
  bool int8_inputs = false;        // the layer's inputs are rounded to int8, one scale a token
  Levels levels = Levels::integers;  // others: of 4 bits, symmetric, without zeros and offsets
  friend bool operator==(const QuantLayout&, const QuantLayout&) = default;
  std::string name() const;  // "int4 g32 sym"
};

struct QuantizedMatrix {
  QuantLayout layout;
  int64_t rows = 0, cols = 0;  // [N out, K in]
  std::vector<uint8_t> codes;  // [rows, cols], 0 … 2^bits − 1
  std::vector<float> scales;   // [rows, groups()], already rounded to layout.scale_dtype
  std::vector<uint8_t> zeros;  // [rows, groups()]; empty when symmetric and with offsets
  /// [rows, groups()], or empty. Only what a WeightSource gives as codes has them, for the kernels:
  /// no algorithm makes them, and no format of directories stores them.
  std::vector<float> offsets{};
  /// > 0: scales and offsets are integers, −128 … 127, times units of float16 that so many
  /// consecutive groups, a power of two, share. [rows, groups() / unit_groups], no offset_units
  /// without offsets. They say nothing new but how to keep scales and offsets in a byte each.
  int64_t unit_groups = 0;
  std::vector<float> scale_units{}, offset_units{};

  int64_t group() const { return layout.group == 0 ? cols : layout.group; }
  int64_t groups() const { return (cols + group() - 1) / group(); }
  int zero(int64_t row, int64_t g) const {
    if (!offsets.empty()) return 0;
    return zeros.empty() ? 1 << (layout.bits - 1) : zeros[static_cast<size_t>(row * groups() + g)];
  }
};

/// [rows, cols] floats: (code − zero) · scale, code · scale + offset or level[code] · scale, in
/// float32.
std::vector<float> dequantize(const QuantizedMatrix& q);

/// Bits that codes, scales and zeros take on disk, per weight.
double bits_per_weight(const QuantLayout& layout, int64_t cols);

}  // namespace attar
