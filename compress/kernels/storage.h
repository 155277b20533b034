// What a PackedMatrix owns.
#pragma once

#include <array>
#include <string>

#include "compress/formats/levels.h"
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
  AlignedBuffer data, scales, zeros, offsets, scale_units, offset_units;
  std::string name;
  Levels levels = Levels::integers;

  int64_t panels() const { return (view.rows + kPanel - 1) / kPanel; }

  // The buffers as a list, for whoever keeps them elsewhere (packed_file.h).
  static constexpr size_t kParts = 6;
  std::array<AlignedBuffer*, kParts> parts() {
    return {&data, &scales, &zeros, &offsets, &scale_units, &offset_units};
  }
  std::array<const AlignedBuffer*, kParts> parts() const {
    return {&data, &scales, &zeros, &offsets, &scale_units, &offset_units};
  }
  /// What each has to hold for the view, where it is there: floats have data alone, and all but
  /// the scales may be absent. units: scales and offsets are bytes.
  std::array<int64_t, kParts> part_bytes(bool units) const {
    const int64_t values = panels() * view.groups * kPanel;
    const int64_t numbers = values * (units ? 1 : view.half_scales ? 2 : 4);
    const int64_t halves = (values >> view.unit_shift) * 2;
    return {panels() * view.panel_bytes, numbers, values, numbers, halves, halves};
  }
  void point_at_parts() {
    view.levels = levels == Levels::integers ? nullptr : level_values(levels).data();
    view.data = data.data();
    view.scales = scales.data();
    view.zeros = reinterpret_cast<const uint8_t*>(zeros.data());
    view.offsets = offsets.data();
    view.scale_units = scale_units.data();
    view.offset_units = offset_units.data();
  }
};

}  // namespace attar
