#include "compress/kernels/packed_matrix.h"

#include <algorithm>
#include <cassert>
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

/// The byte of a panel that holds column k of a row, and the shift within it.
struct CodePlace {
  int64_t byte;
  int shift;
};
CodePlace code_place(PackedFormat format, int64_t lane, int64_t k) {
  const int64_t step = format == PackedFormat::u4 ? 8 : 4;
  const int64_t in_block = k % step;
  return {k / step * 4 * kPanel + lane * 4 + in_block % 4, in_block >= 4 ? 4 : 0};
}

void pack_codes(const QuantizedMatrix& q, const PackedView& view, std::byte* to) {
  const int64_t panels = (view.rows + kPanel - 1) / kPanel;
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * kPanel; row < std::min(view.rows, end * kPanel); ++row) {
      std::byte* panel = to + row / kPanel * view.panel_bytes;
      const uint8_t* codes = q.codes.data() + row * view.cols;
      for (int64_t k = 0; k < view.cols; ++k) {
        const auto [byte, shift] = code_place(view.format, row % kPanel, k);
        panel[byte] |= static_cast<std::byte>(codes[k] << shift);
      }
    }
  });
}

bool all_half(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(),
                     [](float v) { return from_float16(to_float16(v)) == v; });
}

/// Groups × 32 lanes of every panel.
template <class T, class F>
AlignedBuffer pack_groups(const PackedView& view, F value) {
  const int64_t panels = (view.rows + kPanel - 1) / kPanel;
  AlignedBuffer out(static_cast<size_t>(panels * view.groups * kPanel) * sizeof(T));
  T* to = reinterpret_cast<T*>(out.data());
  for (int64_t row = 0; row < view.rows; ++row)
    for (int64_t g = 0; g < view.groups; ++g)
      to[(row / kPanel * view.groups + g) * kPanel + row % kPanel] =
          value(static_cast<size_t>(row * view.groups + g));
  return out;
}

}  // namespace

PackedMatrix PackedMatrix::pack(const DenseTensor& dense) {
  assert(dense.shape.size() == 2);
  auto storage = std::make_shared<Storage>();
  PackedView& view = storage->view;
  view.rows = dense.shape[0];
  view.cols = dense.shape[1];
  view.format = float_format(dense.dtype);
  const int64_t size = view.format == PackedFormat::f32 ? 4 : 2;
  view.panel_bytes = view.cols * kPanel * size;
  storage->data = AlignedBuffer(static_cast<size_t>(storage->panels() * view.panel_bytes));
  view.data = storage->data.data();
  if (dense.dtype == DType::f64) {
    const std::vector<float> narrowed = dense.floats();
    pack_floats<uint32_t>(reinterpret_cast<const std::byte*>(narrowed.data()), view,
                          storage->data.data());
  } else if (size == 4) {
    pack_floats<uint32_t>(dense.bytes.data(), view, storage->data.data());
  } else {
    pack_floats<uint16_t>(dense.bytes.data(), view, storage->data.data());
  }
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
  view.zero = static_cast<float>(1 << (q.layout.bits - 1));
  view.int8_inputs = q.layout.int8_inputs;
  if (view.int8_inputs && view.groups > 1 && view.group % 8 != 0)
    throw bad_input(
        "inputs rounded to int8 need weight groups of a multiple of 8 columns, these are " +
            q.layout.name(),
        "quantized weights", "quantize with another group size, or weights only");
  const int64_t step = view.format == PackedFormat::u4 ? 8 : 4;
  view.panel_bytes = (view.cols + step - 1) / step * 4 * kPanel;
  storage->data = AlignedBuffer(static_cast<size_t>(storage->panels() * view.panel_bytes));
  view.data = storage->data.data();
  pack_codes(q, view, storage->data.data());
  view.half_scales = all_half(q.scales);
  storage->scales =
      view.half_scales
          ? pack_groups<uint16_t>(view, [&](size_t i) { return to_float16(q.scales[i]); })
          : pack_groups<float>(view, [&](size_t i) { return q.scales[i]; });
  view.scales = storage->scales.data();
  if (!q.zeros.empty()) {
    storage->zeros = pack_groups<uint8_t>(view, [&](size_t i) { return q.zeros[i]; });
    view.zeros = reinterpret_cast<const uint8_t*>(storage->zeros.data());
  }
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
  return storage_->data.size() + storage_->scales.size() + storage_->zeros.size();
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
