// Text that two data sets share: what a model is calibrated on should not be what it is judged by.
#pragma once

#include <cstdint>

#include "compress/data/dataset.h"

namespace attar {

struct Overlap {
  int64_t tokens = 0;    // of the windows
  int64_t shared = 0;    // of them in runs that the other windows hold too
  int64_t repeated = 0;  // windows that an earlier one equals
  double share() const {
    return tokens > 0 ? static_cast<double>(shared) / static_cast<double>(tokens) : 0;
  }
};

/// Counts the ids of `windows` that lie in runs of `run` ids or more which stand somewhere in
/// `other` (within one window of each). Runs are compared by 64-bit hashes.
Overlap find_overlap(const TokenWindows& windows, const TokenWindows& other, int64_t run = 32);

}  // namespace attar
