#include "compress/kernels/packed_matrix.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#include "compress/base/error.h"
#include "compress/base/float_types.h"
#include "compress/base/threads.h"
#include "compress/kernels/storage.h"

namespace attar {

namespace {

PackedFormat float_format(DType dtype) {
  if (dtype == DType::f16) return PackedFormat::f16;
  if (dtype == DType::bf16) return PackedFormat::bf16;
  return PackedFormat::f32;
}

/// Copies [rows, cols] elements into panels [cols][32].
template <class T>
void pack_floats(const std::byte* from, const PackedView& view, std::byte* to) {
  const int64_t panels = (view.rows + kPanel - 1) / kPanel;
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      std::byte* out = to + panel * view.panel_bytes;
      const int64_t lanes = std::min(kPanel, view.rows - panel * kPanel);
      for (int64_t lane = 0; lane < lanes; ++lane) {
        const std::byte* row =
            from + (panel * kPanel + lane) * view.cols * static_cast<int64_t>(sizeof(T));
        for (int64_t k = 0; k < view.cols; ++k)
          std::memcpy(out + (k * kPanel + lane) * static_cast<int64_t>(sizeof(T)),
                      row + k * static_cast<int64_t>(sizeof(T)), sizeof(T));
      }
    }
  });
}

/// The 4 bytes of a panel that hold `count` codes of one row: columns 0 to 3, those of 4-bit codes
/// with columns 4 to 7 in their upper halves.
uint32_t code_word(PackedFormat format, const uint8_t* codes, int64_t count) {
  uint8_t all[8] = {};
  std::memcpy(all, codes, static_cast<size_t>(count));
  uint32_t low = 0, high = 0;
  std::memcpy(&low, all, 4);
  std::memcpy(&high, all + 4, 4);
  return format == PackedFormat::u4 ? low | high << 4 : low;
}

/// Panels are blocks of `step` columns: 4 bytes for each of 32 rows.
void pack_codes(const QuantizedMatrix& q, const PackedView& view, std::byte* to) {
  const int64_t panels = (view.rows + kPanel - 1) / kPanel;
  const int64_t step = view.format == PackedFormat::u4 ? 8 : 4;
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * kPanel; row < std::min(view.rows, end * kPanel); ++row) {
      std::byte* out = to + row / kPanel * view.panel_bytes + row % kPanel * 4;
      const uint8_t* codes = q.codes.data() + row * view.cols;
      for (int64_t k = 0; k < view.cols; k += step, out += 4 * kPanel) {
        const uint32_t word = view.cols - k >= step
                                  ? code_word(view.format, codes + k, step)
                                  : code_word(view.format, codes + k, view.cols - k);
        std::memcpy(out, &word, sizeof word);
      }
    }
  });
}

bool all_half(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](float v) { return from_float16(to_float16(v)) == v; });
}

/// `groups` × 32 lanes of every panel.
template <class T, class F>
AlignedBuffer pack_groups(int64_t rows, int64_t groups, F value) {
  const int64_t panels = (rows + kPanel - 1) / kPanel;
  AlignedBuffer out(static_cast<size_t>(panels * groups * kPanel) * sizeof(T));
  T* to = reinterpret_cast<T*>(out.data());
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * kPanel; row < std::min(rows, end * kPanel); ++row)
      for (int64_t g = 0; g < groups; ++g)
        to[(row / kPanel * groups + g) * kPanel + row % kPanel] =
            value(static_cast<size_t>(row * groups + g));
  });
  return out;
}

AlignedBuffer pack_halves(int64_t rows, int64_t groups, const std::vector<float>& values) {
  return pack_groups<uint16_t>(rows, groups, [&](size_t i) { return to_float16(values[i]); });
}

/// Scales or offsets of every group, in the form that the view says.
AlignedBuffer pack_numbers(const PackedView& view, const std::vector<float>& values,
                           const std::vector<float>& units) {
  if (units.empty() && view.half_scales) return pack_halves(view.rows, view.groups, values);
  if (units.empty())
    return pack_groups<float>(view.rows, view.groups, [&](size_t i) { return values[i]; });
  return pack_groups<uint8_t>(view.rows, view.groups, [&](size_t i) {
    const float unit = units[i >> view.unit_shift];
    return static_cast<uint8_t>(128 + (unit == 0 ? 0 : std::lrint(values[i] / unit)));
  });
}

/// Scales, and zeros or offsets.
void pack_scales(const QuantizedMatrix& q, PackedMatrix::Storage& storage) {
  PackedView& view = storage.view;
  assert(q.zeros.empty() || q.offsets.empty());
  view.half_scales = q.unit_groups == 0 && all_half(q.scales) && all_half(q.offsets);
  if (q.unit_groups > 0) {
    assert(std::has_single_bit(static_cast<uint64_t>(q.unit_groups)) &&
           view.groups % q.unit_groups == 0);
    view.unit_shift = std::countr_zero(static_cast<uint64_t>(q.unit_groups));
    storage.scale_units = pack_halves(view.rows, view.groups >> view.unit_shift, q.scale_units);
  }
  storage.scales = pack_numbers(view, q.scales, q.scale_units);
  if (!q.zeros.empty()) {
    storage.zeros =
        pack_groups<uint8_t>(view.rows, view.groups, [&](size_t i) { return q.zeros[i]; });
  }
  if (q.offsets.empty()) return;
  storage.offsets = pack_numbers(view, q.offsets, q.offset_units);
  if (q.unit_groups == 0) return;
  storage.offset_units = pack_halves(view.rows, view.groups >> view.unit_shift, q.offset_units);
}

}  // namespace

PackedMatrix PackedMatrix::pack(const DenseTensor& dense) {
  assert(dense.shape.size() == 2);
  auto storage = std::make_shared<Storage>();
  PackedView& view = storage->view;
  view.rows = dense.shape[0];
  view.cols = dense.shape[1];
  view.format = float_format(dense.dtype);
  view.panel_bytes = panel_bytes_of(view.format, view.cols);
  storage->data = AlignedBuffer(static_cast<size_t>(storage->panels() * view.panel_bytes));
  if (dense.dtype == DType::f64) {
    const std::vector<float> narrowed = dense.floats();
    pack_floats<uint32_t>(reinterpret_cast<const std::byte*>(narrowed.data()), view,
                          storage->data.data());
  } else if (view.format == PackedFormat::f32) {
    pack_floats<uint32_t>(dense.bytes.data(), view, storage->data.data());
  } else {
    pack_floats<uint16_t>(dense.bytes.data(), view, storage->data.data());
  }
  storage->point_at_parts();
  storage->name = view.format == PackedFormat::f32   ? "f32"
                  : view.format == PackedFormat::f16 ? "f16"
                                                     : "bf16";
  PackedMatrix out;
  out.storage_ = std::move(storage);
  return out;
}

PackedMatrix PackedMatrix::pack(const QuantizedMatrix& q) {
  assert(q.layout.bits >= 2 && q.layout.bits <= 8);
  auto storage = std::make_shared<Storage>();
  PackedView& view = storage->view;
  view.rows = q.rows;
  view.cols = q.cols;
  view.format = q.layout.bits <= 4 ? PackedFormat::u4 : PackedFormat::u8;
  view.group = q.group();
  view.groups = q.groups();
  storage->levels = q.layout.levels;
  const bool integers = q.layout.levels == Levels::integers;
  assert(integers || (q.layout.bits == 4 && q.zeros.empty() && q.offsets.empty()));
  view.zero = integers && q.offsets.empty() ? static_cast<float>(1 << (q.layout.bits - 1)) : 0.0f;
  view.int8_inputs = q.layout.int8_inputs;
  if (view.int8_inputs && view.groups > 1 && view.group % 8 != 0)
    throw bad_input(
        "inputs rounded to int8 need weight groups of a multiple of 8 columns, these are " +
            q.layout.name(),
        "quantized weights", "quantize with another group size, or weights only");
  view.panel_bytes = panel_bytes_of(view.format, view.cols);
  storage->data = AlignedBuffer(static_cast<size_t>(storage->panels() * view.panel_bytes));
  pack_codes(q, view, storage->data.data());
  pack_scales(q, *storage);
  storage->point_at_parts();
  storage->name = q.layout.name();
  PackedMatrix out;
  out.storage_ = std::move(storage);
  return out;
}

PackedMatrix PackedMatrix::pack(const Weight& weight) {
  return std::visit([](const auto& w) { return pack(w); }, weight);
}

int64_t PackedMatrix::rows() const {
  return storage_->view.rows;
}
int64_t PackedMatrix::cols() const {
  return storage_->view.cols;
}
uint64_t PackedMatrix::bytes() const {
  uint64_t total = 0;
  for (const AlignedBuffer* part : storage_->parts()) total += part->size();
  return total;
}
std::string PackedMatrix::format() const {
  return storage_->name;
}
bool PackedMatrix::quantized() const {
  return storage_->view.format == PackedFormat::u4 || storage_->view.format == PackedFormat::u8;
}

void PackedMatrix::row(int64_t index, float* out) const {
  const PackedView& view = storage_->view;
  constexpr int64_t kStretch = 64;
  alignas(64) float copy[kStretch * kPanel];
  for (int64_t k = 0; k < view.cols; k += kStretch) {
    const int64_t end = std::min(k + kStretch, view.cols);
    kernels().widen(view, index / kPanel, k, end, copy);
    for (int64_t i = k; i < end; ++i) out[i] = copy[(i - k) * kPanel + index % kPanel];
  }
}

}  // namespace attar
