// What a PackedMatrix owns.
#pragma once

#include <string>

#include "compress/kernels/arena.h"
#include "compress/kernels/kernel_table.h"
#include "compress/kernels/packed_matrix.h"

namespace attar {

struct PackedMatrix::Storage {
  PackedView view{};
  AlignedBuffer data, scales, zeros, offsets, scale_units, offset_units;
  std::string name;

  int64_t panels() const { return (view.rows + kPanel - 1) / kPanel; }
};

}  // namespace attar
