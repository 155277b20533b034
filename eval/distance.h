// How far two arrays of hidden states are apart.
#pragma once

#include <cstdint>

namespace attar::eval {

struct SquaredDistance {
  double difference = 0;  // Σ (x − y)²
  double reference = 0;   // Σ y²
};

/// Of x and y [n]. The same bytes for any number of threads and instruction set: 16 partial sums a
/// stretch, added in a fixed order.
SquaredDistance squared_distance(const float* x, const float* y, int64_t n);

}  // namespace attar::eval
