// Made-up logits.
#pragma once

#include <cstdint>
#include <vector>

#include "compress/base/random.h"

namespace attar {

inline std::vector<float> random_row(int64_t n, double spread, uint64_t seed) {
  Random random(seed);
  std::vector<float> row;
  for (int64_t i = 0; i < n; ++i) row.push_back(static_cast<float>(spread * random.normal()));
  return row;
}

}  // namespace attar
