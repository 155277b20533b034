// Sixteen floats side by side: the vector type of the quantization loops.
//
// All arithmetic is lane by lane with one rounding each, so that every instruction set, and every
// number of threads, gives the same bytes.
#pragma once

#include <cstdint>
#include <cstring>

#include "compress/base/clones.h"

#define ATTAR_INLINE inline __attribute__((always_inline))

namespace attar {

inline constexpr int64_t kLanes = 16;
using Lanes = float __attribute__((vector_size(64)));

ATTAR_INLINE void load(Lanes& to, const float* from) {
  std::memcpy(&to, from, sizeof to);
}
ATTAR_INLINE void store(float* to, const Lanes& from) {
  std::memcpy(to, &from, sizeof from);
}

/// Rounds |x| < 2^22 to the nearest integer, ties to even: beyond 1.5·2^23 a float has no fraction.
template <class T>
ATTAR_INLINE void round_even(T& x) {
  constexpr float kShift = 0x1.8p23f;
  x = (x + kShift) - kShift;
}

/// x := the code of x on the integer grid [low, high]: round(x / scale + zero), clamped.
template <class T>
ATTAR_INLINE void to_code(T& x, const T& scale, const T& zero, const T& low, const T& high) {
  x = x / scale + zero;
  x = x > low ? x
              : low;  // clamping first gives the same code and keeps the value small for rounding
  x = x < high ? x : high;
  round_even(x);
}

}  // namespace attar
