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

Pair choose(const float* w, const float* importance, int64_t n, const QuantLayout& layout,
            const CodeRange& range, const ScaleOptions& options) {
  float smallest = 0, largest = 0;  // the range always includes 0
  for (int64_t i = 0; i < n; ++i) {
    smallest = std::min(smallest, w[i]);
    largest = std::max(largest, w[i]);
  }
  Pair best = pair_of(smallest, largest, layout, range, options.narrow);
  if (options.search == ScaleSearch::minmax || !std::isfinite(best.scale)) return best;
  float best_error = std::numeric_limits<float>::infinity();
  const int last = static_cast<int>(kSteps * (1 - kSmallest));
  for (int step = 0; step <= last; ++step) {
    const float shrink = 1 - static_cast<float>(step) / kSteps;
    const Pair pair = pair_of(smallest * shrink, largest * shrink, layout, range, options.narrow);
    const float error = rounding_error(w, importance, n, pair, range);
    if (error < best_error) {
      best_error = error;
      best = pair;
    }
  }
  return best;
}

}  // namespace

CodeRange code_range(int bits) {
  assert(bits >= 2 && bits <= 8);
  const int half = 1 << (bits - 1);
  return {static_cast<float>(-half), static_cast<float>(half - 1), half};
}

float storable_scale(float scale, DType dtype) {
  scale = std::max(scale, std::numeric_limits<float>::epsilon());
  if (dtype == DType::f16) return from_float16(to_float16(scale));
  if (dtype == DType::bf16) return from_bfloat16(to_bfloat16(scale));
  return scale;
}

GroupScales choose_scales(std::span<const float> w, int64_t rows, int64_t cols,
                          const QuantLayout& layout, const ScaleOptions& options) {
  assert(static_cast<int64_t>(w.size()) == rows * cols);
  const CodeRange range = code_range(layout.bits);
  const int64_t group = layout.group == 0 ? cols : layout.group;
  const int64_t groups = (cols + group - 1) / group;
  std::vector<float> importance(options.importance.begin(), options.importance.end());
  if (importance.empty()) importance.assign(static_cast<size_t>(cols), 1.0f);
  assert(static_cast<int64_t>(importance.size()) == cols);

  GroupScales chosen;
  chosen.scales.resize(static_cast<size_t>(rows * groups));
  chosen.zeros.resize(static_cast<size_t>(rows * groups));
  parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t first = g * group, n = std::min(group, cols - first);
        const Pair pair = choose(w.data() + row * cols + first, importance.data() + first, n,
                                 layout, range, options);
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
