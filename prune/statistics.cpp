#include "prune/statistics.h"

#include <algorithm>
#include <cmath>

#include "compress/base/threads.h"

namespace attar {

UnitStatistics::UnitStatistics(int64_t unit_count, int64_t columns_per_unit)
    : units(unit_count),
      per_unit(columns_per_unit),
      norms(static_cast<size_t>(unit_count)),
      squares(static_cast<size_t>(unit_count * columns_per_unit)) {}

void UnitStatistics::add(const float* x, int64_t count) {
  const int64_t cols = units * per_unit;
  const int64_t grain = std::max<int64_t>(1, 64 / per_unit);
  parallel_for(units, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < count; ++row)
      for (int64_t unit = begin; unit < end; ++unit) {
        double sum = 0;
        for (int64_t c = unit * per_unit; c < (unit + 1) * per_unit; ++c) {
          const auto value = static_cast<double>(x[row * cols + c]);
          squares[static_cast<size_t>(c)] += value * value;
          sum += value * value;
        }
        norms[static_cast<size_t>(unit)] += std::sqrt(sum);
      }
  });
  rows += count;
}

void BlockStatistics::add(const float* in, const float* out, int64_t count, int64_t hidden) {
  std::vector<double> cosine(static_cast<size_t>(count));
  parallel_for(count, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      double inner = 0, before = 0, after = 0;
      for (int64_t c = row * hidden; c < (row + 1) * hidden; ++c) {
        const auto a = static_cast<double>(in[c]), b = static_cast<double>(out[c]);
        inner += a * b;
        before += a * a;
        after += b * b;
      }
      const double length = std::sqrt(before * after);
      cosine[static_cast<size_t>(row)] = length > 0 ? inner / length : 1.0;
    }
  });
  for (const double value : cosine) cosines += value;
  rows += count;
}

}  // namespace attar
