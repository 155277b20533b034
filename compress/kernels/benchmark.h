// Speed of the matrix products, beside what the machine can do at most, measured in the same
// minute.
//
// On a shared machine bandwidth and clock change within seconds, so that only ratios to a ceiling
// measured right before and after mean anything: rounds of both are interleaved and medians taken.
// With one thread its processor time counts, which others cannot stretch; with more it is wall
// time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "compress/kernels/arena.h"
#include "compress/kernels/matmul.h"

namespace attar {

/// What the pool's threads together read from memory: 128 MiB, more than caches hold.
class ReadBandwidth {
 public:
  ReadBandwidth();
  double measure() const;  // GB/s, once

 private:
  AlignedBuffer memory_;
};

struct KernelBenchmark {
  int64_t k = 4096, n = 4096;            // input and output columns
  std::vector<int64_t> m = {1, 4, 512};  // rows
  int rounds = 5;
};

/// One row: a product y[m, n] = x[m, k] · Wᵀ. m = 1 is bounded by reading the weights, from memory
/// (copies of the matrix are rotated), and counted in GB/s of packed weights; larger m by
/// arithmetic, GFLOP/s for exact and GOP/s for int8 activations.
struct KernelSpeed {
  std::string format;       // "f32", "int4"
  int64_t group = 0;        // 0: per channel, or no integers
  std::string activations;  // "exact", "int16", "int8", "int8 a row" (W8A8)
  int64_t m = 0, k = 0, n = 0;
  int threads = 0;
  std::string isa, unit;
  double value = 0, ceiling = 0, fraction = 0;
};

/// Calls `row` as soon as each is measured. bad_input for numbers that are not positive.
void benchmark_kernels(const KernelBenchmark& options,
                       const std::function<void(const KernelSpeed&)>& row);

}  // namespace attar
