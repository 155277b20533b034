#include "quantize/rtn.h"

#include <algorithm>
#include <cassert>

#include "compress/base/threads.h"
#include "compress/formats/nf4.h"
#include "quantize/lanes.h"

namespace attar {
namespace {

ATTAR_CLONES void round_group(const float* w, int64_t n, float scale, float zero, CodeRange range,
                              uint8_t* codes) {
  const auto offset = static_cast<float>(range.offset);
  for (int64_t i = 0; i < n; ++i) {
    float code = w[i];
    to_code(code, scale, zero, range.low, range.high);
    codes[i] = static_cast<uint8_t>(static_cast<int32_t>(code + offset));
  }
}

}  // namespace

QuantizedMatrix with_scales(int64_t rows, int64_t cols, const QuantLayout& layout,
                            const GroupScales& scales) {
  QuantizedMatrix q;
  q.layout = layout;
  q.rows = rows;
  q.cols = cols;
  q.codes.resize(static_cast<size_t>(rows * cols));
  q.scales = scales.scales;
  if (layout.symmetric) return q;
  const int offset = code_range(layout.bits).offset;
  q.zeros.reserve(scales.zeros.size());
  for (const float zero : scales.zeros)
    q.zeros.push_back(static_cast<uint8_t>(static_cast<int>(zero) + offset));
  return q;
}

QuantizedMatrix round_to(std::span<const float> w, int64_t rows, int64_t cols,
                         const QuantLayout& layout, const GroupScales& scales) {
  assert(static_cast<int64_t>(w.size()) == rows * cols);
  QuantizedMatrix q = with_scales(rows, cols, layout, scales);
  const CodeRange range = code_range(layout.bits);
  const int64_t group = q.group(), groups = q.groups();
  parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t first = row * cols + g * group, n = std::min(group, cols - g * group);
        const auto pair = static_cast<size_t>(row * groups + g);
        round_group(w.data() + first, n, scales.scales[pair], scales.zeros[pair], range,
                    q.codes.data() + first);
      }
  });
  return q;
}

QuantizedMatrix round_to_levels(std::span<const float> w, int64_t rows, int64_t cols,
                                const QuantLayout& layout) {
  assert(static_cast<int64_t>(w.size()) == rows * cols);
  assert(layout.levels == Levels::nf4 && layout.scale_dtype == DType::f32);
  QuantizedMatrix q{layout, rows, cols, {}, {}, {}};
  q.codes.resize(w.size());
  const int64_t group = q.group(), groups = q.groups();
  q.scales.resize(static_cast<size_t>(rows * groups));
  parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t g = 0; g < groups; ++g) {
        const auto first = static_cast<size_t>(row * cols + g * group);
        const auto n = static_cast<size_t>(std::min(group, cols - g * group));
        q.scales[static_cast<size_t>(row * groups + g)] =
            round_to_nf4(w.subspan(first, n), q.codes.data() + first);
      }
  });
  return q;
}

QuantizedMatrix rtn(std::span<const float> w, int64_t rows, int64_t cols, const QuantLayout& layout,
                    const ScaleOptions& options) {
  if (layout.levels != Levels::integers) {
    assert(options.search == ScaleSearch::minmax);
    return round_to_levels(w, rows, cols, layout);
  }
  return round_to(w, rows, cols, layout, choose_scales(w, rows, cols, layout, options));
}

}  // namespace attar
