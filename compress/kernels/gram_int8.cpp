#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "compress/base/clones.h"
#include "compress/base/threads.h"
#include "compress/kernels/gram.h"
#include "compress/kernels/kernel_table.h"
#include "compress/kernels/tiles.h"

namespace attar {
namespace {

constexpr int64_t kSegment = 128;          // rows in which a column has one scale
constexpr int64_t kChunk = 16 * kSegment;  // rows that are summed in float32
constexpr uint32_t kSigns = 0x80808080;    // turns four codes into four codes + 128 and back

/// A segment of a panel's columns before it is rounded, zero-filled: [kSegment][kPanel].
struct Slab {
  alignas(64) float values[kSegment * kPanel];
  alignas(64) float scales[kPanel];
  alignas(64) int32_t sums[kPanel];  // of codes
};

/// Rounds a slab to int8: words [kSegment / 4][kPanel], byte j of a word being row j's code + 128.
ATTAR_CLONES void round_slab(Slab& slab, uint32_t* words) {
  constexpr float kShift = 0x1.8p23f;  // adding it leaves the rounded number in the low bits
  alignas(64) uint32_t top[kPanel] = {};
  alignas(64) float factors[kPanel];
  for (int64_t r = 0; r < kSegment; ++r)
    for (int64_t c = 0; c < kPanel; ++c) {  // by bit pattern, so that a NaN is the largest
      const auto bits = std::bit_cast<uint32_t>(slab.values[r * kPanel + c]) & 0x7fffffffu;
      top[c] = bits > top[c] ? bits : top[c];
    }
  for (int64_t c = 0; c < kPanel; ++c) {
    const float largest = std::bit_cast<float>(top[c]);
    const bool finite = top[c] < 0x7f800000u, some = largest >= kTiny;
    factors[c] = finite && some ? 127 / largest : 0;
    slab.scales[c] = !finite ? std::numeric_limits<float>::quiet_NaN() : some ? largest / 127 : 0;
    slab.sums[c] = 0;
  }
  for (int64_t r = 0; r < kSegment; r += 4)
    for (int64_t c = 0; c < kPanel; ++c) {
      uint32_t word = 0;
      int32_t sum = 0;
      for (int64_t j = 0; j < 4; ++j) {
        const float shifted = slab.values[(r + j) * kPanel + c] * factors[c] + kShift;
        const auto code = std::bit_cast<uint32_t>(shifted) & 0xffu;
        word |= code << (8 * j);
        sum += static_cast<int32_t>(code ^ 0x80u) - 128;
      }
      words[r / 4 * kPanel + c] = word ^ kSigns;
      slab.sums[c] += sum;
    }
}

/// A chunk's columns as int8 in the two layouts that the kernel multiplies.
class Columns {
 public:
  Columns(int64_t cols)
      : cols_(cols),
        panels_((cols + kPanel - 1) / kPanel),
        tiles_((cols + kTileRows - 1) / kTileRows),
        panel_words_(static_cast<size_t>(panels_ * kChunk / 4 * kPanel)),
        panel_scales_(static_cast<size_t>(panels_ * kSegments * kPanel)),
        panel_sums_(panel_scales_.size()),
        tile_words_(static_cast<size_t>(tiles_ * kChunk / 4 * kTileRows)),
        tile_scales_(static_cast<size_t>(tiles_ * kSegments * kTileRows)),
        tile_sums_(tile_scales_.size()) {}

  /// Takes `rows` ≤ kChunk rows of x [rows, cols].
  void fill(const float* x, int64_t rows) {
    segments_ = (rows + kSegment - 1) / kSegment;
    parallel_for(panels_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; ++panel) fill_panel(x, rows, panel);
    });
    parallel_for(tiles_, 4, [&](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; ++tile) fill_tile(tile);
    });
  }

  int64_t panels() const { return panels_; }

  /// sums [kTileRows, kPanel] = tile's columns times panel's columns.
  void multiply(int64_t tile, int64_t panel, float* sums) const {
    PackedView view{};
    view.format = PackedFormat::u8;
    view.rows = cols_;
    view.cols = segments_ * kSegment;
    view.group = kSegment;
    view.groups = kSegments;
    view.zero = 128;
    view.data = reinterpret_cast<const std::byte*>(panel_words_.data());
    view.panel_bytes = kChunk * kPanel;
    view.scales = reinterpret_cast<const std::byte*>(panel_scales_.data());
    const QuantizedTile left{
        reinterpret_cast<const int8_t*>(tile_words_.data() + tile * kChunk / 4 * kTileRows),
        tile_scales_.data() + tile * kSegments * kTileRows,
        tile_sums_.data() + tile * kSegments * kTileRows,
        kTileRows,
        kSegment,
        0,
        segments_};
    kernels().int8_tile(view, panel, left, sums, false);
  }

 private:
  static constexpr int64_t kSegments = kChunk / kSegment;

  void fill_panel(const float* x, int64_t rows, int64_t panel) {
    static thread_local Slab slab;
    const int64_t width = std::min(kPanel, cols_ - panel * kPanel);
    for (int64_t s = 0; s < segments_; ++s) {
      const int64_t first = s * kSegment, count = std::min(kSegment, rows - first);
      if (width < kPanel || count < kSegment) std::memset(slab.values, 0, sizeof slab.values);
      for (int64_t r = 0; r < count; ++r)
        std::memcpy(slab.values + r * kPanel, x + (first + r) * cols_ + panel * kPanel,
                    static_cast<size_t>(width) * sizeof(float));
      round_slab(slab, panel_words_.data() + (panel * kChunk + first) / 4 * kPanel);
      const int64_t at = (panel * kSegments + s) * kPanel;
      std::copy_n(slab.scales, kPanel, panel_scales_.data() + at);
      std::copy_n(slab.sums, kPanel, panel_sums_.data() + at);
    }
  }

  /// The tile's columns out of the panels that hold them; columns beyond the last have scale 0.
  void fill_tile(int64_t tile) {
    const int64_t first = tile * kTileRows, count = std::min(kTileRows, cols_ - first);
    for (int64_t i = 0; i < count;) {
      const int64_t panel = (first + i) / kPanel, lane = (first + i) % kPanel;
      const int64_t width = std::min(count - i, kPanel - lane);
      for (int64_t r = 0; r < segments_ * kSegment / 4; ++r) {
        const uint32_t* from = panel_words_.data() + (panel * kChunk / 4 + r) * kPanel + lane;
        uint32_t* to = tile_words_.data() + (tile * kChunk / 4 + r) * kTileRows + i;
        for (int64_t c = 0; c < width; ++c) to[c] = from[c] ^ kSigns;
      }
      for (int64_t s = 0; s < segments_; ++s) {
        const int64_t from = (panel * kSegments + s) * kPanel + lane;
        const int64_t to = (tile * kSegments + s) * kTileRows + i;
        std::copy_n(panel_scales_.data() + from, width, tile_scales_.data() + to);
        std::copy_n(panel_sums_.data() + from, width, tile_sums_.data() + to);
      }
      i += width;
    }
  }

  int64_t cols_, panels_, tiles_, segments_ = 0;
  std::vector<uint32_t> panel_words_;  // [panel][kChunk / 4][kPanel]: codes + 128
  std::vector<float> panel_scales_;    // [panel][kSegments][kPanel]
  std::vector<int32_t> panel_sums_;
  std::vector<uint32_t> tile_words_;  // [tile][kChunk / 4][kTileRows]: codes
  std::vector<float> tile_scales_;    // [tile][kSegments][kTileRows]
  std::vector<int32_t> tile_sums_;
};

/// h[i, j] += the chunk's products for the panel's j and all i up to them.
void add_panel(const Columns& chunk, int64_t panel, int64_t cols, double* h) {
  alignas(64) float sums[kTileRows * kPanel];
  const int64_t first = panel * kPanel, width = std::min(kPanel, cols - first);
  for (int64_t i = 0; i < first + width; i += kTileRows) {
    chunk.multiply(i / kTileRows, panel, sums);
    for (int64_t r = 0; r < std::min(kTileRows, cols - i); ++r)
      for (int64_t j = 0; j < width; ++j)
        h[(i + r) * cols + first + j] += static_cast<double>(sums[r * kPanel + j]);
  }
}

}  // namespace

void accumulate_gram_int8(const float* x, int64_t rows, int64_t cols, double* h) {
  Columns chunk(cols);
  for (int64_t r = 0; r < rows; r += kChunk) {
    chunk.fill(x + r * cols, std::min(kChunk, rows - r));
    // The panels with most work first, which evens out the threads.
    parallel_for(chunk.panels(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) add_panel(chunk, chunk.panels() - 1 - i, cols, h);
    });
  }
  mirror_upper(cols, h);
}

}  // namespace attar
