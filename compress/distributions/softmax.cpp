#include "compress/distributions/softmax.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "compress/base/clones.h"

namespace attar {
namespace {

constexpr int64_t kLanes = 16;

/// exp(x) for x ≤ 0 within 2 units in the last place; below −87.3 it stays at the smallest normal
/// number. x = n·ln 2 + r, |r| ≤ ln 2 / 2, and a Taylor polynomial of degree 7 (remainder 5e−9) for
/// exp(r).
inline __attribute__((always_inline)) float exp_of_negative(float x) {
  constexpr float kShift = 0x1.8p23f;  // adding it rounds to an integer
  x = x < -87.3f ? -87.3f : x;
  const float shifted = x * 0x1.715476p0f + kShift;
  const float n = shifted - kShift;
  const float r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;  // ln 2 in two parts
  float p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t power = (std::bit_cast<int32_t>(shifted) - 0x4b400000 + 127) << 23;
  return p * std::bit_cast<float>(power);
}

/// Σ exp(factor · (x − largest))
ATTAR_CLONES void sum_scaled_exponentials(const float* x, int64_t n, float largest, float factor,
                                          double (&lanes)[kLanes]) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j)
      lanes[j] += static_cast<double>(exp_of_negative((x[i + j] - largest) * factor));
  for (int64_t j = 0; i < n; ++i, ++j)
    lanes[j] += static_cast<double>(exp_of_negative((x[i] - largest) * factor));
}

double add_up(const double (&lanes)[kLanes]) {
  double sum = 0;
  for (const double lane : lanes) sum += lane;
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

ATTAR_CLONES void sum_exponentials(const float* x, int64_t n, float largest,
                                   double (&lanes)[kLanes]) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j)
      lanes[j] += static_cast<double>(exp_of_negative(x[i + j] - largest));
  for (int64_t j = 0; i < n; ++i, ++j)
    lanes[j] += static_cast<double>(exp_of_negative(x[i] - largest));
}

/// Σ exp(p − largest) (p − q)
ATTAR_CLONES void sum_differences(const float* p, const float* q, int64_t n, float largest,
                                  double (&lanes)[kLanes]) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t j = 0; j < kLanes; ++j)
      lanes[j] += static_cast<double>(exp_of_negative(p[i + j] - largest) * (p[i + j] - q[i + j]));
  for (int64_t j = 0; i < n; ++i, ++j)
    lanes[j] += static_cast<double>(exp_of_negative(p[i] - largest) * (p[i] - q[i]));
}

}  // namespace

RowSummary summarize_row(const float* x, int64_t n) {
  RowSummary row;
  row.largest = largest_of(x, n);
  row.argmax = std::find(x, x + n, row.largest) - x;
  double lanes[kLanes] = {};
  sum_exponentials(x, n, row.largest, lanes);
  row.sum = add_up(lanes);
  row.log_sum = static_cast<double>(row.largest) + std::log(row.sum);
  return row;
}

double sum_of_exponentials(const float* x, int64_t n, float largest, float factor) {
  double lanes[kLanes] = {};
  sum_scaled_exponentials(x, n, largest, factor, lanes);
  return add_up(lanes);
}

double kl_divergence(const float* p, const RowSummary& p_summary, const float* q,
                     const RowSummary& q_summary, int64_t n) {
  double lanes[kLanes] = {};
  sum_differences(p, q, n, p_summary.largest, lanes);
  return add_up(lanes) / p_summary.sum - p_summary.log_sum + q_summary.log_sum;
}

}  // namespace attar
