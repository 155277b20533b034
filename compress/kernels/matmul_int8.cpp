#include <cstring>
#include <memory>

#include "compress/base/error.h"
#include "compress/kernels/products.h"
#include "compress/kernels/tiles.h"

namespace attar {
namespace {

/// Columns that share an activation scale: as many as the weights' group, at most 128 and then a
/// divisor of it; whole blocks of 8. 0: there is no such number.
int64_t segment_of(const PackedView& w) {
  if (w.groups == 1) return kMostSegment;
  for (int64_t segment = kMostSegment; segment > 0; segment -= 8)
    if (w.group % segment == 0) return segment;
  return 0;
}

/// x [rows, cols] quantized, in tiles of 12 rows.
class QuantizedRows {
 public:
  QuantizedRows(const float* x, int64_t rows, int64_t cols, int64_t segment)
      : rows_(rows),
        depth_((cols + 7) / 8 * 8),
        segment_(segment),
        segments_((cols + segment - 1) / segment),
        codes_(std::make_unique_for_overwrite<int8_t[]>(static_cast<size_t>(rows * depth_))),
        scales_(std::make_unique_for_overwrite<float[]>(static_cast<size_t>(rows * segments_))),
        sums_(std::make_unique_for_overwrite<int32_t[]>(static_cast<size_t>(rows * segments_))) {
    parallel_for((rows + kTileRows - 1) / kTileRows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin * kTileRows; row < std::min(rows, end * kTileRows); row += kTileRows)
        kernels().quantize_tile(x + row * cols, cols, std::min(kTileRows, rows - row), cols,
                                segment, codes_.get() + row * depth_,
                                scales_.get() + row * segments_, sums_.get() + row * segments_);
    });
  }

  int64_t segments() const { return segments_; }
  int64_t segment() const { return segment_; }
  /// The tile that begins at `row`, segments [begin, end).
  QuantizedTile tile(int64_t row, int64_t begin, int64_t end) const {
    return {codes_.get() + row * depth_,
            scales_.get() + row * segments_,
            sums_.get() + row * segments_,
            std::min(kTileRows, rows_ - row),
            segment_,
            begin,
            end};
  }

 private:
  int64_t rows_, depth_, segment_, segments_;
  std::unique_ptr<int8_t[]> codes_;
  std::unique_ptr<float[]> scales_;
  std::unique_ptr<int32_t[]> sums_;
};

/// One panel's outputs for rows first … last − 1. A stretch of the panel at a time, which stays in
/// a near cache while the tiles of x pass by.
void multiply_panel(const QuantizedRows& x, const PackedView& w, int64_t panel, int64_t first,
                    int64_t last, float* y) {
  const int64_t segment_bytes = x.segment() * kPanel / (w.format == PackedFormat::u4 ? 2 : 1);
  constexpr int64_t kStretchBytes = 65536;
  const int64_t step =
      last - first > kTileRows ? std::max<int64_t>(1, kStretchBytes / segment_bytes) : x.segments();
  const int64_t width = std::min(kPanel, w.rows - panel * kPanel);
  alignas(64) float sums[kTileRows * kPanel];
  for (int64_t begin = 0; begin < x.segments(); begin += step) {
    const int64_t end = std::min(begin + step, x.segments());
    for (int64_t row = first; row < last; row += kTileRows) {
      const int64_t rows = std::min(kTileRows, last - row);
      float* out = y + row * w.rows + panel * kPanel;
      for (int64_t r = 0; r < rows && begin > 0; ++r)
        std::copy_n(out + r * w.rows, width, sums + r * kPanel);
      kernels().int8_tile(w, panel, x.tile(row, begin, end), sums, begin > 0);
      for (int64_t r = 0; r < rows; ++r) std::copy_n(sums + r * kPanel, width, out + r * w.rows);
    }
  }
}

/// Products whose weights want the same segments of x.
void multiply_group(const float* x, int64_t m, int64_t segment, std::span<const Product> products) {
  const QuantizedRows rows(x, m, products[0].w->cols(), segment);
  constexpr int64_t kRows = 16 * kTileRows;
  const int64_t blocks = (m + kRows - 1) / kRows;
  const auto ends =
      running_totals(products, [&](const PackedMatrix::Storage& w) { return w.panels() * blocks; });
  parallel_for(ends.back(), grain_for(ends.back()), [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const auto [product, unit] = find_place(ends, index);
      const auto& w = products[product].w->storage();
      const int64_t first = unit / w.panels() * kRows;
      multiply_panel(rows, w.view, unit % w.panels(), first, std::min(m, first + kRows),
                     products[product].y);
    }
  });
}

}  // namespace

void multiply_int8(const float* x, int64_t m, std::span<const Product> products) {
  std::vector<Product> open(products.begin(), products.end());
  while (!open.empty()) {
    const int64_t segment = segment_of(open[0].w->storage().view);
    if (segment == 0)
      throw bad_input("int8 activations need weight groups of a multiple of 8 columns, these are " +
                          open[0].w->format(),
                      "activations", "use exact activations for this model");
    const auto other = std::stable_partition(open.begin(), open.end(), [&](const Product& p) {
      return segment_of(p.w->storage().view) == segment;
    });
    const std::vector<Product> same(open.begin(), other);
    multiply_group(x, m, segment, same);
    open.erase(open.begin(), other);
  }
}

}  // namespace attar
