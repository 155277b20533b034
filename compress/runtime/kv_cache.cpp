#include "compress/runtime/kv_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "compress/base/error.h"
#include "compress/base/float_types.h"
#include "compress/base/threads.h"
#include "compress/kernels/kernel_table.h"

namespace attar {
namespace {

constexpr float kOnes[kPanel] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

PackedFormat packed(KvFormat format) {
  switch (format) {
    case KvFormat::f16:
      return PackedFormat::f16;
    case KvFormat::bf16:
      return PackedFormat::bf16;
    case KvFormat::int8:
      return PackedFormat::u8;
    case KvFormat::f32:
      break;
  }
  return PackedFormat::f32;
}

uint16_t half_of(KvFormat format, float value) {
  return format == KvFormat::f16 ? to_float16(value) : to_bfloat16(value);
}

/// Scale and codes + 128 of values that share one; NaN where they are not finite.
float round_to_int8(const float* from, int64_t count, uint8_t* codes) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(from[i]));
  bool finite = true;
  for (int64_t i = 0; i < count; ++i) finite = finite && std::isfinite(from[i]);
  const float factor = finite && largest >= kTiny ? 127 / largest : 0;
  for (int64_t i = 0; i < count; ++i)
    codes[i] = static_cast<uint8_t>(
        128 + (factor == 0 ? 0 : static_cast<int>(std::nearbyint(from[i] * factor))));
  if (!finite) return NAN;
  return factor == 0 ? 0 : largest / 127;
}

/// Of a panel of integer codes: the byte of lane `lane`, column `k`.
int64_t code_byte(int64_t lane, int64_t k) {
  return k / 4 * 4 * kPanel + lane * 4 + k % 4;
}

}  // namespace

std::string_view to_string(KvFormat format) {
  switch (format) {
    case KvFormat::f16:
      return "float16";
    case KvFormat::bf16:
      return "bfloat16";
    case KvFormat::int8:
      return "int8";
    case KvFormat::f32:
      break;
  }
  return "float32";
}

KvFormat parse_kv_format(std::string_view name, const std::string& where) {
  for (const auto format : {KvFormat::f32, KvFormat::f16, KvFormat::bf16, KvFormat::int8})
    if (to_string(format) == name) return format;
  throw bad_input("unknown format '" + std::string(name) + "' of the key-value cache", where,
                  "known: float32, float16, bfloat16, int8");
}

int64_t KvCache::element() const {
  return format_ == KvFormat::f32 ? 4 : format_ == KvFormat::int8 ? 1 : 2;
}

uint64_t KvCache::bytes() const {
  uint64_t total = 0;
  for (const auto* store : {&keys_, &values_})
    for (const auto& bytes : *store) total += bytes.capacity();
  for (const auto* scales : {&key_scales_, &value_scales_})
    for (const auto& row : *scales) total += row.capacity() * sizeof(float);
  return total;
}

void KvCache::append_key(int64_t head, int64_t position, const float* from) {
  std::byte* panel =
      keys_[static_cast<size_t>(head)].data() + position / kPanel * kPanel * depth_ * element();
  const int64_t lane = position % kPanel;
  if (format_ == KvFormat::f32) {
    auto* to = reinterpret_cast<float*>(panel) + lane;
    for (int64_t d = 0; d < head_dim_; ++d) to[d * kPanel] = from[d];
  } else if (format_ == KvFormat::int8) {
    std::vector<uint8_t> codes(static_cast<size_t>(head_dim_));
    key_scales_[static_cast<size_t>(head)][static_cast<size_t>(position)] =
        round_to_int8(from, head_dim_, codes.data());
    for (int64_t d = 0; d < head_dim_; ++d)
      panel[code_byte(lane, d)] = static_cast<std::byte>(codes[static_cast<size_t>(d)]);
  } else {
    auto* to = reinterpret_cast<uint16_t*>(panel) + lane;
    for (int64_t d = 0; d < head_dim_; ++d) to[d * kPanel] = half_of(format_, from[d]);
  }
}

void KvCache::append_value(int64_t head, int64_t position, const float* from) {
  std::vector<uint8_t> codes;
  if (format_ == KvFormat::int8) {
    codes.resize(static_cast<size_t>(head_dim_));
    value_scales_[static_cast<size_t>(head)][static_cast<size_t>(position)] =
        round_to_int8(from, head_dim_, codes.data());
  }
  for (int64_t part = 0; part < parts_; ++part) {
    const int64_t first = part * kPanel, dims = std::min(kPanel, head_dim_ - first);
    std::byte* to = values_[static_cast<size_t>(head * parts_ + part)].data();
    if (format_ == KvFormat::f32)
      std::memcpy(to + position * kPanel * 4, from + first, static_cast<size_t>(dims) * 4);
    else if (format_ == KvFormat::int8)
      for (int64_t lane = 0; lane < dims; ++lane)
        to[code_byte(lane, position)] =
            static_cast<std::byte>(codes[static_cast<size_t>(first + lane)]);
    else
      for (int64_t lane = 0; lane < dims; ++lane)
        reinterpret_cast<uint16_t*>(to)[position * kPanel + lane] =
            half_of(format_, from[first + lane]);
  }
}

void KvCache::append(const float* keys, const float* values, int64_t count, int64_t kv_heads,
                     int64_t head_dim) {
  head_dim_ = head_dim;
  depth_ = format_ == KvFormat::int8 ? (head_dim + 3) / 4 * 4 : head_dim;
  parts_ = (head_dim + kPanel - 1) / kPanel;
  keys_.resize(static_cast<size_t>(kv_heads));
  values_.resize(static_cast<size_t>(kv_heads * parts_));
  if (format_ == KvFormat::int8) {
    key_scales_.resize(static_cast<size_t>(kv_heads));
    value_scales_.resize(static_cast<size_t>(kv_heads));
  }
  const int64_t capacity = (length_ + count + kPanel - 1) / kPanel * kPanel;
  const int64_t width = kv_heads * head_dim;
  const auto append_head = [&](int64_t head) {
    keys_[static_cast<size_t>(head)].resize(static_cast<size_t>(capacity * depth_ * element()));
    for (int64_t part = 0; part < parts_; ++part)
      values_[static_cast<size_t>(head * parts_ + part)].resize(
          static_cast<size_t>(capacity * kPanel * element()));
    if (format_ == KvFormat::int8) {
      key_scales_[static_cast<size_t>(head)].resize(static_cast<size_t>(capacity));
      value_scales_[static_cast<size_t>(head)].resize(static_cast<size_t>(capacity));
    }
    for (int64_t t = 0; t < count; ++t) {
      append_key(head, length_ + t, keys + t * width + head * head_dim);
      append_value(head, length_ + t, values + t * width + head * head_dim);
    }
  };
  if (count == 1)
    for (int64_t head = 0; head < kv_heads; ++head) append_head(head);
  else
    parallel_for(kv_heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t head = begin; head < end; ++head) append_head(head);
    });
  length_ += count;
}

PackedView KvCache::key_panels(int64_t head, int64_t first) const {
  PackedView view{};
  view.format = packed(format_);
  view.rows = length_ - first;
  view.cols = view.group = head_dim_;
  view.groups = 1;
  view.zero = 128;
  view.data = keys_[static_cast<size_t>(head)].data() + first * depth_ * element();
  view.panel_bytes = kPanel * depth_ * element();
  if (format_ == KvFormat::int8)
    view.scales =
        reinterpret_cast<const std::byte*>(key_scales_[static_cast<size_t>(head)].data() + first);
  return view;
}

PackedView KvCache::value_panel(int64_t head, int64_t part, int64_t first, int64_t count) const {
  PackedView view{};
  view.format = packed(format_);
  view.rows = kPanel;
  view.cols = view.group = count;
  view.groups = 1;
  view.zero = 128;
  view.data =
      values_[static_cast<size_t>(head * parts_ + part)].data() + first * kPanel * element();
  view.scales = reinterpret_cast<const std::byte*>(kOnes);
  return view;
}

const float* KvCache::keys(int64_t head, int64_t first, float* scratch) const {
  const PackedView view = key_panels(head, first);
  if (format_ == KvFormat::f32) return reinterpret_cast<const float*>(view.data);
  kernels().widen(view, 0, 0, head_dim_, scratch);
  return scratch;
}

const float* KvCache::values(int64_t head, int64_t part, int64_t first, int64_t count,
                             float* scratch) const {
  const PackedView view = value_panel(head, part, first, count);
  if (format_ == KvFormat::f32) return reinterpret_cast<const float*>(view.data);
  kernels().widen(view, 0, 0, count, scratch);
  return scratch;
}

const float* KvCache::value_scales(int64_t head, int64_t first) const {
  if (format_ != KvFormat::int8) return nullptr;
  return value_scales_[static_cast<size_t>(head)].data() + first;
}

}  // namespace attar
