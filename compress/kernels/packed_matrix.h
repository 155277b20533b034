// A weight matrix packed for the kernels: one layout for every instruction set and for both ways
// that activations enter (see kernel_table.h).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "compress/formats/weights.h"

namespace attar {

/// Immutable; cheap to copy (shares its storage).
class PackedMatrix {
 public:
  PackedMatrix() = default;
  /// From a dense [rows, cols] tensor: kept in its own float type (f32, f16, bf16), widened in the
  /// kernel.
  static PackedMatrix pack(const DenseTensor& dense);
  /// From integer codes: kept at 4 bits (layouts of 2 … 4 bits) or 8 (5 … 8) with one scale (and
  /// zero or offset) per group; the last group of a row may be shorter. Scales and offsets are kept
  /// as bytes where the matrix has units for them, as f16 when that loses nothing, else as f32.
  static PackedMatrix pack(const QuantizedMatrix& quantized);
  static PackedMatrix pack(const Weight& weight);

  int64_t rows() const;
  int64_t cols() const;
  uint64_t bytes() const;      // in memory
  std::string format() const;  // "int4 g32 sym", "bf16"
  bool quantized() const;

  /// out [cols]: one row as floats, as dequantize() gives them for integers.
  void row(int64_t index, float* out) const;

  struct Storage;
  explicit PackedMatrix(std::shared_ptr<const Storage> storage) : storage_(std::move(storage)) {}
  const Storage& storage() const { return *storage_; }

 private:
  std::shared_ptr<const Storage> storage_;
};

}  // namespace attar
