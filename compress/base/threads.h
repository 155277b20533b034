// One pool of worker threads for the process's own kernels and algorithms (LibTorch has its own).
//
// Results must not depend on the number of threads: split work by index, never by thread, and sum
// partial results in index order.
#pragma once

#include <cstdint>
#include <functional>

namespace attar {

/// Sets how many threads parallel_for uses (≥ 1). Not while a parallel_for runs.
void set_thread_count(int threads);
/// Starts as the number of processors this process may run on.
int thread_count();

/// Calls body(begin, end) over disjoint ranges that cover [0, count), each of `grain` indices (the last may
/// be shorter); idle threads take the next range. Returns when all are done; rethrows the first exception.
/// Called from inside a body, it runs in the calling thread.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

}  // namespace attar
