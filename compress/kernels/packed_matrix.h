// A weight matrix packed for the kernels.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "compress/formats/weights.h"

namespace attar {

/// Immutable; cheap to copy (shares its storage).
class PackedMatrix {
 public:
  PackedMatrix() = default;
  /// From a dense [rows, cols] tensor: kept in its own float type (f32, f16, bf16), widened in the kernel.
  static PackedMatrix pack(const DenseTensor& dense);
  /// From integer codes: kept at 4 or 8 bits with one float scale (and zero) per group.
  static PackedMatrix pack(const QuantizedMatrix& quantized);
  static PackedMatrix pack(const Weight& weight);

  int64_t rows() const;
  int64_t cols() const;
  uint64_t bytes() const;       // in memory
  std::string format() const;   // "int4 g32 sym", "bf16"
  bool quantized() const;

  struct Storage;
  const Storage& storage() const { return *storage_; }

 private:
  std::shared_ptr<const Storage> storage_;
};

}  // namespace attar
