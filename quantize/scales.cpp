#include "quantize/scales.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "compress/base/error.h"
#include "compress/base/float_types.h"
#include "compress/base/threads.h"
#include "quantize/lanes.h"

namespace attar {
namespace {

/// Candidate ranges: the group's own range times 1, 1 − 1/kSteps, … down to kSmallest.
constexpr int kSteps = 100;
constexpr float kSmallest = 0.35f;

struct Pair {
  float scale, zero;
};

Pair pair_of(float low_value, float high_value, const QuantLayout& layout, const CodeRange& range,
             bool narrow) {
  if (layout.symmetric) {
    const float magnitude = std::max(-low_value, high_value);
    const float steps = narrow ? range.high : (range.high - range.low) / 2;
    return {storable_scale(magnitude / steps, layout.scale_dtype), 0};
  }
  const float scale =
      storable_scale((high_value - low_value) / (range.high - range.low), layout.scale_dtype);
  float zero = std::clamp(range.low - low_value / scale, range.low, range.high);
  round_even(zero);
  return {scale, zero};
}

/// Σ importance · (w − dequantized)² over n values, summed in sixteen lanes.
ATTAR_CLONES float rounding_error(const float* w, const float* importance, int64_t n, Pair pair,
                                  CodeRange range) {
  const Lanes scale = Lanes{} + pair.scale, zero = Lanes{} + pair.zero;
  const Lanes low = Lanes{} + range.low, high = Lanes{} + range.high;
  Lanes sum{};
  for (int64_t i = 0; i < n; i += kLanes) {
    Lanes value{}, weight{};
    if (i + kLanes <= n) {
      load(value, w + i);
      load(weight, importance + i);
    } else {
      std::memcpy(&value, w + i, static_cast<size_t>(n - i) * sizeof(float));
      std::memcpy(&weight, importance + i, static_cast<size_t>(n - i) * sizeof(float));
    }
    Lanes code = value;
    to_code(code, scale, zero, low, high);
    const Lanes error = value - (code - zero) * scale;
    sum += error * error * weight;
  }
  float total = 0;
  for (int64_t lane = 0; lane < kLanes; ++lane) total += sum[lane];
  return total;
}

/// e H eᵀ of a group's rounding error e; h has `stride` floats a row. `error` has room for n values
/// and a whole vector.
ATTAR_CLONES float output_error(const float* w, const float* h, int64_t stride, int64_t n,
                                Pair pair, CodeRange range, float* error) {
  for (int64_t i = 0; i < n; ++i) {
    float code = w[i];
    to_code(code, pair.scale, pair.zero, range.low, range.high);
    error[i] = w[i] - (code - pair.zero) * pair.scale;
  }
  std::fill(error + n, error + (n + kLanes - 1) / kLanes * kLanes, 0.0f);
  constexpr int64_t kWide =
      4;  // vectors of columns at a time: their sums do not wait for each other
  Lanes total{};
  for (int64_t j = 0; j < n; j += kWide * kLanes) {
    Lanes sum[kWide] = {};
    const int64_t vectors = std::min(kWide, (n - j + kLanes - 1) / kLanes);
    const bool whole = j + vectors * kLanes <= n;
    for (int64_t i = 0; i < n; ++i) {
      const float* row = h + i * stride + j;
      for (int64_t v = 0; v < vectors; ++v) {
        Lanes part{};
        if (whole || v + 1 < vectors)
          load(part, row + v * kLanes);
        else
          std::memcpy(&part, row + v * kLanes,
                      static_cast<size_t>(n - j - v * kLanes) * sizeof(float));
        sum[v] += part * error[i];
      }
    }
    for (int64_t v = 0; v < vectors; ++v) {
      Lanes mine;
      load(mine, error + j + v * kLanes);
      total += sum[v] * mine;
    }
  }
  float result = 0;
  for (int64_t lane = 0; lane < kLanes; ++lane) result += total[lane];
  return result;
}

/// The search for one group's pair.
class GroupSearch {
 public:
  /// `importance` [n]; `hessian` is null or the group's square.
  GroupSearch(const float* w, int64_t n, const QuantLayout& layout, const ScaleOptions& options,
              const float* importance, const float* hessian, int64_t stride, float* error)
      : w_(w),
        n_(n),
        layout_(layout),
        options_(options),
        range_(code_range(layout.bits)),
        importance_(importance),
        hessian_(hessian),
        stride_(stride),
        error_(error) {
    for (int64_t i = 0; i < n; ++i) {  // the range always includes 0
      low_ = std::min(low_, w[i]);
      high_ = std::max(high_, w[i]);
    }
  }

  Pair run() {
    const Pair whole = pair_of(low_, high_, layout_, range_, options_.narrow);
    if (options_.search == ScaleSearch::minmax || !std::isfinite(whole.scale)) return whole;
    const auto by_importance = [&](Pair pair) {
      return rounding_error(w_, importance_, n_, pair, range_);
    };
    best_ = whole;
    look_around(by_importance, 0, kLast);
    if (hessian_ == nullptr) return best_;
    // Squared errors lead near the optimum of the output's error at a fraction of its cost.
    least_ = std::numeric_limits<float>::infinity();
    look_around(
        [&](Pair pair) { return output_error(w_, hessian_, stride_, n_, pair, range_, error_); },
        -kNear, kNear);
    return best_;
  }

 private:
  static constexpr int kLast = static_cast<int>(kSteps * (1 - kSmallest));
  static constexpr int kNear = 5;

  /// Tries ranges from `first` to `last` steps from the best so far: both ends alike, and of
  /// asymmetric grids then each end for itself.
  template <class Error>
  void look_around(const Error& error, int first, int last) {
    const auto sweep = [&](bool low_moves, bool high_moves) {
      // From the beginning of the range where the whole of it is looked at.
      const int low = first < 0 || !low_moves ? low_step_ : 0;
      const int high = first < 0 || !high_moves ? high_step_ : 0;
      for (int step = first; step <= last; ++step)
        consider(error, low_moves ? low + step : low, high_moves ? high + step : high);
    };
    sweep(true, true);
    if (layout_.symmetric) return;
    sweep(true, false);
    sweep(false, true);
  }

  template <class Error>
  void consider(const Error& error, int low, int high) {
    if (low < 0 || high < 0 || low > kLast || high > kLast) return;
    const auto shrink = [](int step) { return 1 - static_cast<float>(step) / kSteps; };
    const Pair pair =
        pair_of(low_ * shrink(low), high_ * shrink(high), layout_, range_, options_.narrow);
    const auto take = [&](Pair candidate) {
      const float found = error(candidate);
      if (!(found < least_)) return;
      least_ = found;
      best_ = candidate;
      low_step_ = low;
      high_step_ = high;
    };
    take(pair);
    if (layout_.symmetric && options_.signed_scales) take({-pair.scale, 0});
  }

  const float* w_;
  int64_t n_;
  const QuantLayout& layout_;
  const ScaleOptions& options_;
  CodeRange range_;
  const float* importance_;
  const float* hessian_;
  int64_t stride_;
  float* error_;
  float low_ = 0, high_ = 0;
  int low_step_ = 0, high_step_ = 0;
  Pair best_{};
  float least_ = std::numeric_limits<float>::infinity();
};

}  // namespace

CodeRange code_range(int bits) {
  assert(bits >= 2 && bits <= 8);
  const int half = 1 << (bits - 1);
  return {static_cast<float>(-half), static_cast<float>(half - 1), half};
}

float storable_scale(float scale, DType dtype) {
  constexpr float kLeast = std::numeric_limits<float>::epsilon();
  if (!(std::abs(scale) >= kLeast)) scale = scale < 0 ? -kLeast : kLeast;
  if (dtype == DType::f16) return from_float16(to_float16(scale));
  if (dtype == DType::bf16) return from_bfloat16(to_bfloat16(scale));
  return scale;
}

GroupScales choose_scales(std::span<const float> w, int64_t rows, int64_t cols,
                          const QuantLayout& layout, const ScaleOptions& options) {
  assert(static_cast<int64_t>(w.size()) == rows * cols);
  const int64_t group = layout.group == 0 ? cols : layout.group;
  const int64_t groups = (cols + group - 1) / group;
  std::vector<float> importance(options.importance.begin(), options.importance.end());
  if (importance.empty()) importance.assign(static_cast<size_t>(cols), 1.0f);
  for (int64_t j = 0; j < cols && !options.hessian.empty(); ++j)
    importance[static_cast<size_t>(j)] = options.hessian[static_cast<size_t>(j * (cols + 1))];
  assert(static_cast<int64_t>(importance.size()) == cols);

  GroupScales chosen;
  chosen.scales.resize(static_cast<size_t>(rows * groups));
  chosen.zeros.resize(static_cast<size_t>(rows * groups));
  parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
    std::vector<float> error(static_cast<size_t>(group + kLanes));
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t row = begin; row < end; ++row) {
        const int64_t first = g * group, n = std::min(group, cols - first);
        const float* square =
            options.hessian.empty() ? nullptr : options.hessian.data() + first * (cols + 1);
        const Pair pair = GroupSearch(w.data() + row * cols + first, n, layout, options,
                                      importance.data() + first, square, cols, error.data())
                              .run();
        if (!std::isfinite(pair.scale))
          throw failure(
              "a scale is beyond the range of " + std::string(torch_dtype_name(layout.scale_dtype)),
              "row " + std::to_string(row) + ", group " + std::to_string(g),
              "choose scale_dtype: float32 or bfloat16");
        chosen.scales[static_cast<size_t>(row * groups + g)] = pair.scale;
        chosen.zeros[static_cast<size_t>(row * groups + g)] = pair.zero;
      }
  });
  return chosen;
}

}  // namespace attar
