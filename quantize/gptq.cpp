#include "quantize/gptq.h"

#include <algorithm>
#include <cassert>
#include <numeric>

#include "compress/base/threads.h"
#include "quantize/lanes.h"
#include "quantize/rtn.h"

namespace attar {
namespace {

constexpr int64_t kBlock = 128;  // columns whose errors are collected before they reach the rest
constexpr int64_t kRows = 2 * kLanes;  // rows that are processed side by side

/// One tile of kRows rows, everything as [column or group in processing order, kRows].
struct Tile {
  std::vector<float> original, current, errors, scales, zeros;
  std::vector<int32_t> group_of;  // [cols] by processing position
  std::vector<uint8_t> codes;     // [cols, kRows] stored codes by processing position
  double losses[kRows] = {};
};

/// Rounds columns [first, last) one after the other; each error is passed on inside the range at
/// once.
ATTAR_CLONES void round_columns(Tile& tile, const HessianFactor& factor, CodeRange range,
                                int64_t first, int64_t last) {
  const Lanes low = Lanes{} + range.low, high = Lanes{} + range.high;
  for (int64_t j = first; j < last; ++j) {
    const int64_t group = tile.group_of[static_cast<size_t>(j)];
    for (int64_t half = 0; half < kRows; half += kLanes) {
      Lanes value, scale, zero, before;
      load(value, tile.current.data() + j * kRows + half);
      load(before, tile.original.data() + j * kRows + half);
      load(scale, tile.scales.data() + group * kRows + half);
      load(zero, tile.zeros.data() + group * kRows + half);
      Lanes code = value;
      to_code(code, scale, zero, low, high);
      const Lanes rounded = (code - zero) * scale;
      const Lanes error = before - rounded, step = value - rounded;
      store(tile.errors.data() + (j - first) * kRows + half, error);
      for (int64_t lane = 0; lane < kLanes; ++lane) {
        tile.codes[static_cast<size_t>(j * kRows + half + lane)] =
            static_cast<uint8_t>(static_cast<int32_t>(code[lane]) + range.offset);
        tile.losses[half + lane] += factor.pivots[static_cast<size_t>(j)] *
                                    static_cast<double>(step[lane]) *
                                    static_cast<double>(step[lane]);
      }
      const float* feedback = factor.feedback.data() + j * factor.size;
      for (int64_t k = j + 1; k < last; ++k) {
        Lanes next;
        load(next, tile.current.data() + k * kRows + half);
        next += error * feedback[k];
        store(tile.current.data() + k * kRows + half, next);
      }
    }
  }
}

/// Passes the errors of columns [first, last) on to all columns from `last`, in column order.
ATTAR_CLONES void pass_on(Tile& tile, const HessianFactor& factor, int64_t first, int64_t last) {
  constexpr int64_t kCols = 6;
  for (int64_t k = last; k < factor.size; k += kCols) {
    const int64_t width = std::min(kCols, factor.size - k);
    Lanes sum[kCols][2];
    for (int64_t c = 0; c < kCols; ++c) {
      const float* from = tile.current.data() + (k + std::min(c, width - 1)) * kRows;
      load(sum[c][0], from);
      load(sum[c][1], from + kLanes);
    }
    for (int64_t j = first; j < last; ++j) {
      Lanes error[2];
      load(error[0], tile.errors.data() + (j - first) * kRows);
      load(error[1], tile.errors.data() + (j - first) * kRows + kLanes);
      const float* feedback = factor.feedback.data() + j * factor.size + k;
      for (int64_t c = 0; c < kCols; ++c) {
        const float weight = feedback[std::min(c, width - 1)];
        sum[c][0] += error[0] * weight;
        sum[c][1] += error[1] * weight;
      }
    }
    for (int64_t c = 0; c < width; ++c) {
      store(tile.current.data() + (k + c) * kRows, sum[c][0]);
      store(tile.current.data() + (k + c) * kRows + kLanes, sum[c][1]);
    }
  }
}

/// The values of columns [first, last) if nothing more were rounded: what is left to correct is
/// shared out among them in the best way. Into `values`, [last − first, kRows].
void continue_exactly(const Tile& tile, const HessianFactor& factor, int64_t first, int64_t last,
                      std::vector<float>& values) {
  values.assign(tile.current.begin() + first * kRows, tile.current.begin() + last * kRows);
  for (int64_t j = first; j < last; ++j)
    for (int64_t k = j + 1; k < last; ++k)
      for (int64_t r = 0; r < kRows; ++r) {
        const float error = tile.original[static_cast<size_t>(j * kRows + r)] -
                            values[static_cast<size_t>((j - first) * kRows + r)];
        values[static_cast<size_t>((k - first) * kRows + r)] +=
            error * factor.feedback[static_cast<size_t>(j * factor.size + k)];
      }
}

/// What all tiles of one matrix share.
class Gptq {
 public:
  Gptq(std::span<const float> w, int64_t rows, const HessianFactor& factor,
       const QuantLayout& layout, const GptqOptions& options)
      : w_(w),
        rows_(rows),
        cols_(factor.size),
        factor_(factor),
        layout_(layout),
        options_(options),
        range_(code_range(layout.bits)),
        group_(layout.group == 0 ? cols_ : layout.group),
        groups_((cols_ + group_ - 1) / group_) {
    assert(factor.ok && static_cast<int64_t>(w.size()) == rows * cols_);
    if (!options.running_scales) return;
    assert(std::is_sorted(factor.order.begin(), factor.order.end()));
    block_ = group_;  // a group's scales are due when all columns before it have been passed on
  }

  GptqCodes run(GroupScales scales) {
    scales_ = std::move(scales);
    std::vector<double> losses(static_cast<size_t>(rows_));
    codes_.resize(static_cast<size_t>(rows_ * cols_));
    parallel_for((rows_ + kRows - 1) / kRows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; ++tile) run_tile(tile * kRows, losses);
    });
    return {std::move(codes_), std::move(losses)};
  }

  /// With the scales that were chosen on the way.
  GptqResult matrix(GroupScales scales) {
    GptqCodes made = run(std::move(scales));
    GptqResult result{with_scales(rows_, cols_, layout_, scales_), std::move(made.row_losses)};
    result.matrix.codes = std::move(made.codes);
    return result;
  }

 private:
  void run_tile(int64_t first_row, std::vector<double>& losses) {
    const int64_t rows = std::min(kRows, rows_ - first_row);
    Tile tile = open(first_row, rows);
    for (int64_t first = 0; first < cols_; first += block_) {
      const int64_t last = std::min(cols_, first + block_);
      if (options_.running_scales) choose_running(tile, first_row, rows, first, last);
      round_columns(tile, factor_, range_, first, last);
      pass_on(tile, factor_, first, last);
    }
    for (int64_t r = 0; r < rows; ++r) {
      losses[static_cast<size_t>(first_row + r)] = tile.losses[r];
      uint8_t* codes = codes_.data() + (first_row + r) * cols_;
      for (int64_t j = 0; j < cols_; ++j)
        codes[factor_.order[static_cast<size_t>(j)]] =
            tile.codes[static_cast<size_t>(j * kRows + r)];
    }
  }

  Tile open(int64_t first_row, int64_t rows) const {
    Tile tile;
    const auto columns = static_cast<size_t>(cols_ * kRows);
    tile.original.assign(columns, 0.0f);
    tile.codes.resize(columns);
    tile.errors.resize(static_cast<size_t>(block_ * kRows));
    tile.scales.assign(static_cast<size_t>(groups_ * kRows), 1.0f);
    tile.zeros.assign(static_cast<size_t>(groups_ * kRows), 0.0f);
    tile.group_of.resize(static_cast<size_t>(cols_));
    for (int64_t j = 0; j < cols_; ++j) {
      const int64_t column = factor_.order[static_cast<size_t>(j)];
      tile.group_of[static_cast<size_t>(j)] = static_cast<int32_t>(column / group_);
      for (int64_t r = 0; r < rows; ++r)
        tile.original[static_cast<size_t>(j * kRows + r)] =
            w_[static_cast<size_t>((first_row + r) * cols_ + column)];
    }
    tile.current = tile.original;
    if (!options_.running_scales)
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t g = 0; g < groups_; ++g) take_scale(tile, first_row, r, g);
    return tile;
  }

  void take_scale(Tile& tile, int64_t first_row, int64_t r, int64_t g) const {
    const auto from = static_cast<size_t>((first_row + r) * groups_ + g);
    tile.scales[static_cast<size_t>(g * kRows + r)] = scales_.scales[from];
    tile.zeros[static_cast<size_t>(g * kRows + r)] = scales_.zeros[from];
  }

  /// Scales of the group that spans columns [start, end), from the values as they stand.
  void choose_running(Tile& tile, int64_t first_row, int64_t rows, int64_t start, int64_t end) {
    const int64_t width = end - start, g = start / group_;
    std::vector<float> values(static_cast<size_t>(rows * width)), continued;
    continue_exactly(tile, factor_, start, end, continued);
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t j = 0; j < width; ++j)
        values[static_cast<size_t>(r * width + j)] = continued[static_cast<size_t>(j * kRows + r)];
    QuantLayout channel = layout_;
    channel.group = 0;
    ScaleOptions options = options_.scales;
    if (!options.importance.empty())
      options.importance =
          options.importance.subspan(static_cast<size_t>(start), static_cast<size_t>(width));
    const GroupScales chosen = choose_scales(values, rows, width, channel, options);
    for (int64_t r = 0; r < rows; ++r) {
      const auto to = static_cast<size_t>((first_row + r) * groups_ + g);
      scales_.scales[to] = chosen.scales[static_cast<size_t>(r)];
      scales_.zeros[to] = chosen.zeros[static_cast<size_t>(r)];
      take_scale(tile, first_row, r, g);
    }
  }

  std::span<const float> w_;
  int64_t rows_, cols_;
  const HessianFactor& factor_;
  QuantLayout layout_;
  const GptqOptions& options_;
  CodeRange range_;
  int64_t group_, groups_, block_ = kBlock;
  GroupScales scales_;
  std::vector<uint8_t> codes_;
};

}  // namespace

GptqResult gptq(std::span<const float> w, int64_t rows, const HessianFactor& factor,
                const QuantLayout& layout, const GptqOptions& options) {
  const int64_t cols = factor.size;
  GroupScales scales;
  if (options.running_scales) {
    const int64_t group = layout.group == 0 ? cols : layout.group;
    scales.scales.resize(static_cast<size_t>(rows * ((cols + group - 1) / group)));
    scales.zeros.resize(scales.scales.size());
  } else {
    scales = choose_scales(w, rows, cols, layout, options.scales);
  }
  return Gptq(w, rows, factor, layout, options).matrix(std::move(scales));
}

GptqResult gptq(std::span<const float> w, int64_t rows, const HessianFactor& factor,
                const QuantLayout& layout, const GroupScales& scales) {
  GptqOptions options;
  return Gptq(w, rows, factor, layout, options).matrix(scales);
}

GptqCodes gptq_codes(std::span<const float> w, int64_t rows, const HessianFactor& factor,
                     const QuantLayout& layout, const GroupScales& scales) {
  GptqOptions options;
  return Gptq(w, rows, factor, layout, options).run(scales);
}

}  // namespace attar
