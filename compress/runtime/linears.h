// Linear layers that read the same input, and the buffers between layers.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>

#include "compress/base/threads.h"
#include "compress/kernels/matmul.h"
#include "compress/runtime/load.h"

namespace attar {

/// Sees the input of every linear layer before it is multiplied: x [rows, linear.in].
using LinearObserver = std::function<void(const LinearSpec& linear, const float* x, int64_t rows)>;

/// How a block gets its linear layers: from its source, or a replacement.
using LinearLoader = std::function<Linear(const LinearSpec& spec)>;

/// y [rows, linear.out] of a layer that reads x [rows, linear.in].
struct Reader {
  const Linear& linear;
  float* y;
};
/// All of them, in one go.
void multiply(const float* x, int64_t rows, std::initializer_list<Reader> readers,
              Activations activations, const LinearObserver& observer);

using Buffer = std::unique_ptr<float[]>;
inline Buffer buffer(int64_t rows, int64_t cols) {
  return std::make_unique_for_overwrite<float[]>(static_cast<size_t>(rows * cols));
}

/// Splits `count` values among the threads when there are enough of them.
template <class F>
void for_values(int64_t count, F f) {
  constexpr int64_t kGrain = 1 << 13;
  parallel_for(count, kGrain, f);
}

/// x becomes cap · tanh(x / cap).
void soft_cap(float* x, int64_t count, float cap);

/// to += from
void add(float* to, const float* from, int64_t count);

}  // namespace attar
