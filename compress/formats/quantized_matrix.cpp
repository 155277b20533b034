#include "compress/formats/quantized_matrix.h"

#include <fmt/core.h>

#include "compress/base/threads.h"

namespace attar {

std::string QuantLayout::name() const {
  const std::string columns = group == 0 ? "channel" : fmt::format("g{}", group);
  if (levels != Levels::integers) return fmt::format("{} {}", to_string(levels), columns);
  return fmt::format("int{} {} {}{}", bits, columns, symmetric ? "sym" : "asym",
                     int8_inputs ? " a8" : "");
}

std::vector<float> dequantize(const QuantizedMatrix& q) {
  std::vector<float> values(q.codes.size());
  const int64_t groups = q.groups(), group = q.group();
  parallel_for(q.rows, 64, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      for (int64_t g = 0; g < groups; ++g) {
        const int zero = q.zero(row, g);
        const float scale = q.scales[static_cast<size_t>(row * groups + g)];
        const int64_t begin = row * q.cols + g * group;
        const int64_t end = row * q.cols + std::min((g + 1) * group, q.cols);
        if (q.layout.levels != Levels::integers) {
          const auto levels = level_values(q.layout.levels);
          for (int64_t i = begin; i < end; ++i)
            values[static_cast<size_t>(i)] = levels[q.codes[static_cast<size_t>(i)]] * scale;
          continue;
        }
        for (int64_t i = begin; i < end; ++i)
          values[static_cast<size_t>(i)] =
              static_cast<float>(q.codes[static_cast<size_t>(i)] - zero) * scale;
        if (q.offsets.empty()) continue;
        const float offset = q.offsets[static_cast<size_t>(row * groups + g)];
        for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(i)] += offset;
      }
  });
  return values;
}

double bits_per_weight(const QuantLayout& layout, int64_t cols) {
  const int64_t group = layout.group == 0 ? cols : layout.group;
  const auto groups = static_cast<double>((cols + group - 1) / group);
  const double scale_bits = 8.0 * static_cast<double>(dtype_size(layout.scale_dtype));
  return layout.bits +
         groups * (scale_bits + (layout.symmetric ? 0 : layout.bits)) / static_cast<double>(cols);
}

}  // namespace attar
