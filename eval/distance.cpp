#include "eval/distance.h"

#include <algorithm>
#include <vector>

#include "compress/base/clones.h"
#include "compress/base/threads.h"

namespace attar::eval {
namespace {

constexpr int64_t kLanes = 16, kStretch = 1 << 15;

ATTAR_CLONES void sum_squares(const float* x, const float* y, int64_t n,
                              double (&difference)[kLanes], double (&reference)[kLanes]) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j) {
      const double d = static_cast<double>(x[i + j]) - static_cast<double>(y[i + j]);
      const double r = static_cast<double>(y[i + j]);
      difference[j] += d * d;
      reference[j] += r * r;
    }
  for (int64_t j = 0; i < n; ++i, ++j) {
    const double d = static_cast<double>(x[i]) - static_cast<double>(y[i]);
    const double r = static_cast<double>(y[i]);
    difference[j] += d * d;
    reference[j] += r * r;
  }
}

}  // namespace

SquaredDistance squared_distance(const float* x, const float* y, int64_t n) {
  const int64_t stretches = (n + kStretch - 1) / kStretch;
  std::vector<SquaredDistance> parts(static_cast<size_t>(stretches));
  parallel_for(stretches, 1, [&](int64_t from, int64_t to) {
    for (int64_t s = from; s < to; ++s) {
      double difference[kLanes] = {}, reference[kLanes] = {};
      const int64_t begin = s * kStretch;
      sum_squares(x + begin, y + begin, std::min(kStretch, n - begin), difference, reference);
      auto& part = parts[static_cast<size_t>(s)];
      for (int64_t j = 0; j < kLanes; ++j) {
        part.difference += difference[j];
        part.reference += reference[j];
      }
    }
  });
  SquaredDistance sum;
  for (const auto& part : parts) {
    sum.difference += part.difference;
    sum.reference += part.reference;
  }
  return sum;
}

}  // namespace attar::eval
