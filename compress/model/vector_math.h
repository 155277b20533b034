// Elementwise float math that compilers vectorize, for loops marked ATTAR_VECTOR_CLONES: one
// source, compiled for several instruction sets, the same results on each (no fused multiply-add,
// fixed order).
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#define ATTAR_VECTOR_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define ATTAR_VECTOR_CLONES
#endif
#define ATTAR_INLINE inline __attribute__((always_inline))
#define ATTAR_INLINE_LAMBDA __attribute__((always_inline))

namespace attar {

/// a where `condition`, b elsewhere, by masks: a plain choice tempts compilers into branches (each
/// way with its constants folded), and loops with branches stay scalar.
ATTAR_INLINE float choose(bool condition, float a, float b) {
  const int32_t mask = -static_cast<int32_t>(condition);
  return std::bit_cast<float>((std::bit_cast<int32_t>(a) & mask) |
                              (std::bit_cast<int32_t>(b) & ~mask));
}

/// e^x, relative error below 2e-7; 0 below −87, e^88 above 88. (Cody–Waite reduction, degree-6
/// polynomial of the Taylor series on [−ln 2 / 2, ln 2 / 2].)
ATTAR_INLINE float vector_exp(float x) {
  const float low = choose(x > -87.0f, x, -87.0f);
  const float clamped = choose(low < 88.0f, low, 88.0f);
  const float shifted = clamped * 1.44269504f + 12582912.0f;  // 1.5·2^23: rounds to an integer
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float y = 1.0f / 720.0f;
  y = y * r + 1.0f / 120.0f;
  y = y * r + 1.0f / 24.0f;
  y = y * r + 1.0f / 6.0f;
  y = y * r + 0.5f;
  y = y * r + 1.0f;
  y = y * r + 1.0f;
  const int32_t exponent = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(12582912.0f);
  return choose(x >= -87.0f, y * std::bit_cast<float>((exponent + 127) << 23), 0.0f);
}

/// ln x for normal x > 0 (smaller x counts as 2^-126), error below 1e-7 relative to max(1, |ln x|).
/// (Mantissa in [√½, √2), artanh series of (m − 1)/(m + 1).)
ATTAR_INLINE float vector_log(float x) {
  const float clamped = choose(x < 1.17549435e-38f, 1.17549435e-38f, x);
  const int32_t bits = std::bit_cast<int32_t>(clamped);
  const int32_t exponent = (bits - 0x3f3504f3) >> 23;
  const float m = std::bit_cast<float>(bits - (exponent << 23));
  const float s = (m - 1.0f) / (m + 1.0f), z = s * s;
  float y = 1.0f / 9.0f;
  y = y * z + 1.0f / 7.0f;
  y = y * z + 1.0f / 5.0f;
  y = y * z + 1.0f / 3.0f;
  const auto e = static_cast<float>(exponent);
  return (2.0f * s + 2.0f * s * z * y) + e * -2.12194440e-4f + e * 0.693359375f;
}

/// Σ f(i) over [0, n) in sixteen interleaved partial sums, added in order.
template <class F>
ATTAR_INLINE double lane_sum(int64_t n, F f) {
  std::array<float, 16> lanes{};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int64_t l = 0; l < 16; ++l) lanes[static_cast<size_t>(l)] += f(i + l);
  for (; i < n; ++i) lanes[static_cast<size_t>(i & 15)] += f(i);
  double total = 0;
  for (const float lane : lanes) total += static_cast<double>(lane);
  return total;
}

/// The largest f(i) over [0, n), n ≥ 1.
template <class F>
ATTAR_INLINE float lane_max(int64_t n, F f) {
  std::array<float, 16> lanes;
  lanes.fill(f(0));
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int64_t l = 0; l < 16; ++l) {
      float& lane = lanes[static_cast<size_t>(l)];
      const float x = f(i + l);
      lane = x > lane ? x : lane;
    }
  for (; i < n; ++i) lanes[0] = f(i) > lanes[0] ? f(i) : lanes[0];
  float largest = lanes[0];
  for (const float lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

}  // namespace attar
