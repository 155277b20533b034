#include "compress/distributions/softmax.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "compress/base/clones.h"

namespace attar {
namespace {

constexpr int64_t kLanes = 16;

// Written out as vectors: a compiler makes none of a loop whose exponential has a choice in it.
using Floats = float __attribute__((vector_size(4 * kLanes)));
using Integers = int32_t __attribute__((vector_size(4 * kLanes)));
using Doubles = double __attribute__((vector_size(8 * kLanes)));

/// x = exp(x) for x ≤ 0 within 2 units in the last place; below −87.3 it stays at the smallest
/// normal number. x = n·ln 2 + r, |r| ≤ ln 2 / 2, and a Taylor polynomial of degree 7 (remainder
/// 5e−9) for exp(r).
inline __attribute__((always_inline)) void exp_of_negative(Floats& x) {
  constexpr float kShift = 0x1.8p23f;  // adding it rounds to an integer
  const Floats lowest = Floats{} - 87.3f;
  x = x < lowest ? lowest : x;
  const Floats shifted = x * 0x1.715476p0f + kShift;
  const Floats n = shifted - kShift;
  const Floats r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;  // ln 2 in two parts
  Floats p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Integers power = (reinterpret_cast<Integers>(shifted) - 0x4b400000 + 127) << 23;
  x = p * reinterpret_cast<Floats>(power);
}

/// to = x [count], `beyond` where that is fewer than kLanes.
inline __attribute__((always_inline)) void take(const float* x, int64_t count, float beyond,
                                                Floats& to) {
  if (count >= kLanes) {
    std::memcpy(&to, x, sizeof to);
    return;
  }
  for (int64_t j = 0; j < kLanes; ++j) to[j] = j < count ? x[j] : beyond;
}

/// Adds the first `count` lanes of x.
inline __attribute__((always_inline)) void add(const Floats& x, int64_t count, Doubles& lanes) {
  if (count >= kLanes) {
    lanes += __builtin_convertvector(x, Doubles);
    return;
  }
  for (int64_t j = 0; j < count; ++j) lanes[j] += static_cast<double>(x[j]);
}

inline __attribute__((always_inline)) double add_up(const Doubles& lanes) {
  double sum = 0;
  for (int64_t j = 0; j < kLanes; ++j) sum += lanes[j];
  return sum;
}

ATTAR_CLONES float largest_of(const float* x, int64_t n) {
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, x[0]);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
  for (; i < n; ++i) lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
  return *std::max_element(lanes, lanes + kLanes);
}

/// Σ exp(factor · (x − largest))
ATTAR_CLONES double sum_exponentials(const float* x, int64_t n, float largest, float factor) {
  Doubles lanes = {};
  Floats v = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    take(x + i, n - i, largest, v);
    v = (v - largest) * factor;
    exp_of_negative(v);
    add(v, n - i, lanes);
  }
  return add_up(lanes);
}

/// Σ exp(p − largest) (p − q)
ATTAR_CLONES double sum_differences(const float* p, const float* q, int64_t n, float largest) {
  Doubles lanes = {};
  Floats v = {}, w = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    take(p + i, n - i, largest, v);
    take(q + i, n - i, largest, w);
    w = v - w;
    v = v - largest;
    exp_of_negative(v);
    v = v * w;
    add(v, n - i, lanes);
  }
  return add_up(lanes);
}

}  // namespace

RowSummary summarize_row(const float* x, int64_t n) {
  RowSummary row;
  row.largest = largest_of(x, n);
  row.argmax = std::find(x, x + n, row.largest) - x;
  row.sum = sum_exponentials(x, n, row.largest, 1);
  row.log_sum = static_cast<double>(row.largest) + std::log(row.sum);
  return row;
}

double sum_of_exponentials(const float* x, int64_t n, float largest, float factor) {
  return sum_exponentials(x, n, largest, factor);
}

double kl_divergence(const float* p, const RowSummary& p_summary, const float* q,
                     const RowSummary& q_summary, int64_t n) {
  return sum_differences(p, q, n, p_summary.largest) / p_summary.sum - p_summary.log_sum +
         q_summary.log_sum;
}

}  // namespace attar
