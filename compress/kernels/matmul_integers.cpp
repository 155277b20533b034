#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <vector>

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

/// x [rows, cols] as rows of int8, in tiles of kTileRows of those.
class QuantizedRows {
 public:
  QuantizedRows(const float* x, int64_t rows, int64_t cols, IntegerWay way)
      : way_(way),
        rows_(rows * rows_per_row(way.rounding)),
        depth_((cols + 7) / 8 * 8),
        segments_((cols + way.segment - 1) / way.segment),
        codes_(std::make_unique_for_overwrite<int8_t[]>(static_cast<size_t>(rows_ * depth_))),
        scales_(std::make_unique_for_overwrite<float[]>(static_cast<size_t>(rows_ * segments_))),
        sums_(std::make_unique_for_overwrite<int32_t[]>(static_cast<size_t>(rows_ * segments_))) {
    const int64_t per_row = rows_per_row(way.rounding), height = kTileRows / per_row;
    parallel_for((rows + height - 1) / height, 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin * height; row < std::min(rows, end * height); row += height) {
        const int64_t to = row * per_row;
        kernels().quantize_tile(x + row * cols, cols, std::min(height, rows - row), cols,
                                way.segment, way.rounding, codes_.get() + to * depth_,
                                scales_.get() + to * segments_, sums_.get() + to * segments_);
      }
    });
  }

  const IntegerWay& way() const { return way_; }
  int64_t rows() const { return rows_; }
  int64_t segments() const { return segments_; }
  /// The tile that begins at `row`, segments [begin, end).
  QuantizedTile tile(int64_t row, int64_t begin, int64_t end) const {
    return {codes_.get() + row * depth_,
            scales_.get() + row * segments_,
            sums_.get() + row * segments_,
            std::min(kTileRows, rows_ - row),
            way_.segment,
            begin,
            end};
  }

 private:
  IntegerWay way_;
  int64_t rows_, depth_, segments_;
  std::unique_ptr<int8_t[]> codes_;
  std::unique_ptr<float[]> scales_;
  std::unique_ptr<int32_t[]> sums_;
};

/// Whether groups have something of their own beside their scale.
bool has_offsets(const PackedView& w) {
  return w.offsets != nullptr || w.zeros != nullptr;
}

/// What offsets are multiplied by: the sums of a row's numbers over each group of the weights.
class GroupSums {
 public:
  GroupSums(const QuantizedRows& x, const PackedView& w)
      : groups_(w.groups),
        per_row_(rows_per_row(x.way().rounding)),
        values_(static_cast<size_t>(x.rows() / per_row_ * groups_)) {
    const int64_t tiles = (x.rows() + kTileRows - 1) / kTileRows;
    parallel_for(tiles, 8, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin * kTileRows; row < std::min(x.rows(), end * kTileRows);
           row += kTileRows)
        add_tile(x.tile(row, 0, x.segments()), w.group, values_.data() + row / per_row_ * groups_);
    });
  }
  /// [groups][rows of x] of the tile that begins at int8 row `row`.
  const float* tile(int64_t row) const { return values_.data() + row / per_row_ * groups_; }

 private:
  /// A segment's digits make a whole number, exactly.
  void add_tile(const QuantizedTile& x, int64_t group, float* to) const {
    const int64_t rows = x.rows / per_row_;
    for (int64_t s = 0; s < x.end; ++s)
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t first = s * x.rows + r * per_row_, last = first + per_row_ - 1;
        int64_t number = 0;
        for (int64_t d = first; d <= last; ++d) number = 128 * number + x.sums[d];
        to[s * x.segment / group * rows + r] += x.scales[last] * static_cast<float>(number);
      }
  }

  int64_t groups_, per_row_;
  std::vector<float> values_;
};

constexpr int64_t kBlockRows = 48 * kTileRows;  // int8 rows that pass by a panel together, at most

/// As many as keep every thread busy: a panel is read once for all rows of a block.
int64_t block_rows(int64_t rows, std::span<const Product> products) {
  int64_t panels = 0, height = kBlockRows;
  for (const auto& product : products) panels += product.w->storage().panels();
  while (height > 6 * kTileRows && panels * ((rows + height - 1) / height) < 4 * thread_count())
    height /= 2;
  return height;
}

void prefetch(const std::byte* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 2);
}

/// Sums of int8 rows into those of rows of x, in place: the smallest digit first.
void add_digits(int64_t per_row, int64_t int8_rows, float* sums) {
  if (per_row == 1) return;
  const float* from = sums;
  for (int64_t row = 0; row < int8_rows / per_row; ++row, from += per_row * kPanel)
    for (int64_t i = 0; i < kPanel; ++i) {
      const float low = per_row == 2 ? from[kPanel + i] : from[kPanel + i] + from[2 * kPanel + i];
      sums[row * kPanel + i] = from[i] + low;
    }
}

/// sums += offsets · group sums, one fused step for every group in order.
void add_offsets(const GroupSums& x, const PackedView& w, int64_t panel, int64_t first,
                 int64_t last, int64_t per_row, float* sums) {
  constexpr int64_t kDepth = 128;
  alignas(64) float offsets[kDepth * kPanel];
  for (int64_t g = 0; g < w.groups; g += kDepth) {
    const int64_t depth = std::min(kDepth, w.groups - g);
    kernels().widen_offsets(w, panel, g, g + depth, offsets);
    for (int64_t row = first; row < last; row += kTileRows) {
      const int64_t rows = std::min(kTileRows, last - row) / per_row;
      kernels().tile(rows, depth, x.tile(row) + g * rows, rows, offsets,
                     sums + (row - first) / per_row * kPanel, kPanel, true);
    }
  }
}

/// What the levels of a matrix are as int8 digits of base 128, the highest first: level = unit · Σ
/// digit · 128^(count − 1 − i). There are as many as digits of x, so that neither is the less
/// precise, but for whole numbers that are digits themselves.
struct LevelDigits {
  int count;
  float unit;
  uint8_t tables[3][16];  // 128 + digit

  LevelDigits(std::span<const float, 16> levels, int digits) {
    const auto magnitude = [](float level) { return std::abs(level); };
    const float largest = magnitude(*std::ranges::max_element(levels, {}, magnitude));
    const bool are_digits =
        largest <= most_fixed(1) &&
        std::ranges::all_of(levels, [](float level) { return level == std::nearbyint(level); });
    count = are_digits ? 1 : digits;
    unit = are_digits ? 1.0f : largest / most_fixed(count);
    for (size_t code = 0; code < levels.size(); ++code) {
      auto number = static_cast<int>(std::lrint(levels[code] / unit));
      for (int i = count - 1; i >= 0; --i) {
        const int digit = i == 0 ? number : ((number + 64) & 127) - 64;
        tables[i][code] = static_cast<uint8_t>(128 + digit);
        number = (number - digit) / 128;
      }
    }
  }
};

/// sums [last − first, 32] = one panel times int8 rows first … last − 1. A stretch of the panel at
/// a time, which stays in a near cache while the tiles of x pass by. finish(row, sums) takes each
/// tile behind its last stretch, so that the next one's products hide what it waits for. Keep: the
/// sums are wanted afterwards; else tiles share room if they can.
template <bool Keep, class F>
void multiply_codes(const QuantizedRows& x, const PackedView& w, int64_t panel, int64_t first,
                    int64_t last, float* sums, F finish) {
  const int64_t segment_bytes = x.way().segment * kPanel / (w.format == PackedFormat::u4 ? 2 : 1);
  constexpr int64_t kStretchBytes = 16384;
  const int64_t step =
      last - first > kTileRows ? std::max<int64_t>(1, kStretchBytes / segment_bytes) : x.segments();
  // While the tiles pass by one stretch, the next one is fetched.
  const int64_t tiles = (last - first + kTileRows - 1) / kTileRows;
  const int64_t share = tiles > 1 ? step * segment_bytes / tiles : 0;
  const std::byte* next = w.data + panel * w.panel_bytes + step * segment_bytes;
  for (int64_t begin = 0; begin < x.segments(); begin += step) {
    const int64_t end = std::min(begin + step, x.segments());
    for (int64_t row = first; row < last; row += kTileRows, next += share) {
      prefetch(next, share);
      float* tile = Keep || step < x.segments() ? sums + (row - first) * kPanel : sums;
      kernels().int8_tile(w, panel, x.tile(row, begin, end), tile, begin > 0);
      if (end == x.segments()) finish(row, tile);
    }
  }
}

/// The same for codes that stand for one digit of their levels: a stretch of them becomes one of 8
/// bits.
void multiply_digit(const QuantizedRows& x, const PackedView& w, int64_t panel,
                    const uint8_t* digits, int64_t first, int64_t last, float* sums) {
  constexpr int64_t kColumns = 512;  // 16 KiB; segments have at most 128
  alignas(64) static thread_local std::byte bytes[kColumns * kPanel];
  PackedView part = w;
  part.format = PackedFormat::u8;
  part.levels = nullptr;
  part.zero = 128;
  part.data = bytes;
  part.panel_bytes = 0;
  assert(x.way().segment <= kMostSegment);
  const int64_t step = kColumns / x.way().segment;
  for (int64_t begin = 0; begin < x.segments(); begin += step) {
    const int64_t end = std::min(begin + step, x.segments());
    part.first_column = begin * x.way().segment;
    const int64_t blocks = (std::min(end * x.way().segment, w.cols) - part.first_column + 7) / 8;
    kernels().look_up(w.data + panel * w.panel_bytes + part.first_column / 8 * 4 * kPanel, blocks,
                      digits, bytes);
    for (int64_t row = first; row < last; row += kTileRows)
      kernels().int8_tile(part, panel, x.tile(row, begin, end), sums + (row - first) * kPanel,
                          begin > 0);
  }
  add_digits(rows_per_row(x.way().rounding), last - first, sums);
}

/// The same for codes that stand for levels: a chain of sums for every digit, from the highest
/// on 128 · sum + next; then times the unit.
void multiply_levels(const QuantizedRows& x, const PackedView& w, const LevelDigits& digits,
                     int64_t panel, int64_t first, int64_t last, float* sums) {
  alignas(64) static thread_local float next[kBlockRows * kPanel];
  multiply_digit(x, w, panel, digits.tables[0], first, last, sums);
  const int64_t count = (last - first) / rows_per_row(x.way().rounding) * kPanel;
  for (int i = 1; i < digits.count; ++i) {
    multiply_digit(x, w, panel, digits.tables[i], first, last, next);
    for (int64_t j = 0; j < count; ++j) sums[j] = 128 * sums[j] + next[j];
  }
  if (digits.unit == 1) return;
  for (int64_t j = 0; j < count; ++j) sums[j] *= digits.unit;
}

/// Rows first … last − 1 of a panel's outputs [last − first, 32] into y.
void put_rows(const PackedView& w, int64_t panel, int64_t first, int64_t last, const float* from,
              float* y) {
  const int64_t width = std::min(kPanel, w.rows - panel * kPanel);
  for (int64_t row = first; row < last; ++row, from += kPanel) {
    float* out = y + row * w.rows + panel * kPanel;
    if (width == kPanel)
      std::memcpy(out, from, kPanel * sizeof(float));  // a size known beforehand: no call
    else
      std::copy_n(from, width, out);
  }
}

/// What a product needs beside codes and scales.
struct Extras {
  const GroupSums* group_sums = nullptr;  // of weights with offsets
  std::optional<LevelDigits> levels;
};

/// One panel's outputs for int8 rows first … last − 1, at most kBlockRows.
void multiply_panel(const QuantizedRows& x, const Extras& extras, const PackedView& w,
                    int64_t panel, int64_t first, int64_t last, float* y) {
  alignas(64) static thread_local float sums[kBlockRows * kPanel];
  const int64_t per_row = rows_per_row(x.way().rounding);
  if (!extras.levels && extras.group_sums == nullptr) {
    multiply_codes<false>(x, w, panel, first, last, sums, [&](int64_t row, float* tile) {
      const int64_t end = std::min(row + kTileRows, last);
      add_digits(per_row, end - row, tile);
      put_rows(w, panel, row / per_row, end / per_row, tile, y);
    });
    return;
  }
  if (!extras.levels) {
    multiply_codes<true>(x, w, panel, first, last, sums, [](int64_t, float*) {});
    add_digits(per_row, last - first, sums);
    add_offsets(*extras.group_sums, w, panel, first, last, per_row, sums);
  } else {
    multiply_levels(x, w, *extras.levels, panel, first, last, sums);
  }
  put_rows(w, panel, first / per_row, last / per_row, sums, y);
}

/// Products that want x in the same way.
void multiply_group(const float* x, int64_t m, IntegerWay way, std::span<const Product> products) {
  const QuantizedRows rows(x, m, products[0].w->cols(), way);
  std::map<int64_t, GroupSums> sums;  // by length of group, of weights with offsets
  static const Extras kNone;
  std::vector<Extras> extras;  // empty where no product needs any
  for (size_t i = 0; i < products.size(); ++i) {
    const PackedView& w = products[i].w->storage().view;
    if (!has_offsets(w) && w.levels == nullptr) continue;
    extras.resize(products.size());
    if (has_offsets(w)) extras[i].group_sums = &sums.try_emplace(w.group, rows, w).first->second;
    if (w.levels != nullptr)
      extras[i].levels.emplace(std::span<const float, 16>(w.levels, 16),
                               static_cast<int>(rows_per_row(way.rounding)));
  }
  const int64_t count = m * rows_per_row(way.rounding);
  const int64_t height = block_rows(count, products), blocks = (count + height - 1) / height;
  const auto ends =
      running_totals(products, [&](const PackedMatrix::Storage& w) { return w.panels() * blocks; });
  parallel_for(ends.back(), grain_for(ends.back()), [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const auto [product, unit] = find_place(ends, index);
      const auto& w = products[product].w->storage();
      const int64_t first = unit / w.panels() * height;
      multiply_panel(rows, extras.empty() ? kNone : extras[product], w.view, unit % w.panels(),
                     first, std::min(count, first + height), products[product].y);
    }
  });
}

}  // namespace

std::optional<IntegerWay> integer_way(const PackedMatrix& w, Activations activations) {
  if (!w.quantized()) return std::nullopt;
  const PackedView& view = w.storage().view;
  if (view.int8_inputs)
    return IntegerWay{Rounding::row, view.groups == 1 ? (view.cols + 7) / 8 * 8 : view.group};
  const int64_t segment = segment_of(view);
  if (segment == 0 && activations == Activations::int8)
    throw bad_input(
        "int8 activations need weight groups of a multiple of 8 columns, these are " + w.format(),
        "activations", "use exact activations for this model");
  if (segment == 0) return std::nullopt;
  if (activations == Activations::int8) return IntegerWay{Rounding::segments, segment};
  return IntegerWay{
      activations == Activations::int16 ? Rounding::two_digits : Rounding::three_digits, segment};
}

void multiply_integers(const float* x, int64_t m, std::span<const IntegerProduct> products) {
  std::vector<IntegerProduct> open(products.begin(), products.end());
  while (!open.empty()) {
    const IntegerWay way = open[0].way;
    const auto other = std::stable_partition(open.begin(), open.end(),
                                             [&](const IntegerProduct& p) { return p.way == way; });
    std::vector<Product> same;
    for (auto it = open.begin(); it != other; ++it) same.push_back(it->product);
    multiply_group(x, m, way, same);
    open.erase(open.begin(), other);
  }
}

}  // namespace attar
