#include "quantize/stored_rows.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "compress/base/clones.h"
#include "compress/base/threads.h"

namespace attar {
namespace {

constexpr int64_t kSegment = 128, kGrain = 32;

ATTAR_CLONES float round_segment(const float* x, int64_t count, int16_t* codes) {
  constexpr float kMost = 32767, kTiny = 1e-30f;
  constexpr float kShift = 0x1.8p23f;  // adding it leaves the rounded number in the low bits
  uint32_t top = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu;
    top = bits > top ? bits : top;
  }
  const float largest = std::bit_cast<float>(top);
  const bool finite = top < 0x7f800000u, some = largest >= kTiny;
  const float factor = finite && some ? kMost / largest : 0;
  for (int64_t i = 0; i < count; ++i)
    codes[i] = static_cast<int16_t>(std::bit_cast<uint32_t>(x[i] * factor + kShift));
  if (!finite) return std::numeric_limits<float>::quiet_NaN();
  return some ? largest / kMost : 0;
}

ATTAR_CLONES void widen_segment(const int16_t* codes, int64_t count, float scale, float* x) {
  for (int64_t i = 0; i < count; ++i) x[i] = static_cast<float>(codes[i]) * scale;
}

}  // namespace

void StoredRows::resize(int64_t rows, int64_t cols) {
  cols_ = cols;
  segments_ = (cols + kSegment - 1) / kSegment;
  const int64_t padded = rows * segments_ * kSegment;  // enough for any other shape of this size
  if (padded <= capacity_) return;
  codes_.reset();
  codes_ = std::make_unique_for_overwrite<int16_t[]>(static_cast<size_t>(padded));
  scales_ = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(padded / kSegment));
  capacity_ = padded;
}

void StoredRows::put(int64_t first, int64_t rows, const float* x) {
  parallel_for(rows, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t s = 0; s < segments_; ++s)
        scales_[static_cast<size_t>((first + row) * segments_ + s)] =
            round_segment(x + row * cols_ + s * kSegment, std::min(kSegment, cols_ - s * kSegment),
                          codes_.get() + (first + row) * cols_ + s * kSegment);
  });
}

void StoredRows::get(int64_t first, int64_t rows, float* x) const {
  parallel_for(rows, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t s = 0; s < segments_; ++s)
        widen_segment(codes_.get() + (first + row) * cols_ + s * kSegment,
                      std::min(kSegment, cols_ - s * kSegment),
                      scales_[static_cast<size_t>((first + row) * segments_ + s)],
                      x + row * cols_ + s * kSegment);
  });
}

}  // namespace attar
