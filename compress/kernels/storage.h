// What a PackedMatrix owns.
#pragma once

#include <array>
#include <string>

#include "compress/kernels/arena.h"
#include "compress/kernels/kernel_table.h"
#include "compress/kernels/packed_matrix.h"

namespace attar {

inline int64_t panel_bytes_of(PackedFormat format, int64_t cols) {
  switch (format) {
    case PackedFormat::f32:
      return cols * kPanel * 4;
    case PackedFormat::u4:
      return (cols + 7) / 8 * 4 * kPanel;
    case PackedFormat::u8:
      return (cols + 3) / 4 * 4 * kPanel;
    case PackedFormat::f16:
    case PackedFormat::bf16:
      break;
  }
  return cols * kPanel * 2;
}

struct PackedMatrix::Storage {
  PackedView view{};
  AlignedBuffer data, scales, zeros;
  std::string name;

  int64_t panels() const { return (view.rows + kPanel - 1) / kPanel; }

  // The buffers as a list, for whoever keeps them elsewhere (packed_file.h).
  static constexpr size_t kParts = 3;
  std::array<AlignedBuffer*, kParts> parts() { return {&data, &scales, &zeros}; }
  std::array<const AlignedBuffer*, kParts> parts() const { return {&data, &scales, &zeros}; }
  /// What each has to hold for the view, where it is there: floats have data alone, and zeros may
  /// be absent.
  std::array<int64_t, kParts> part_bytes() const {
    const int64_t values = panels() * view.groups * kPanel;
    return {panels() * view.panel_bytes, values * (view.half_scales ? 2 : 4), values};
  }
  void point_at_parts() {
    view.data = data.data();
    view.scales = scales.data();
    view.zeros = reinterpret_cast<const uint8_t*>(zeros.data());
  }
};

}  // namespace attar
