// How sequences share the threads.
#pragma once

#include <algorithm>
#include <cstdint>

#include "compress/architecture/model.h"
#include "compress/base/threads.h"

namespace attar {

/// Roughly the memory that a forward pass needs for a position, bytes: the residual stream, an
/// MLP's two inner activations and what attention adds, an inner width taken as 4 hidden ones.
inline int64_t pass_bytes(const ModelSpec& spec) {
  return 4 * 16 * spec.hidden;
}

/// How many sequences of up to `longest` ids to begin together, each on a thread of its own, which
/// wastes no time waiting for others; 1: all threads share one sequence, where a pass each would
/// need more than half a gigabyte. `bytes` a position, of all models that are run.
inline int64_t sequences_at_once(int64_t longest, int64_t bytes) {
  constexpr int64_t kMost = int64_t{1} << 29, kShort = 256, kShortOnes = 64;
  const int64_t threads = thread_count();
  if (threads * longest * bytes > kMost) return 1;
  return longest <= kShort ? std::max(kShortOnes, 4 * threads) : 4 * threads;
}

}  // namespace attar
