// AVX2 with FMA and F16C.
#include <immintrin.h>

#include "compress/kernels/kernel_table.h"

namespace attar {
namespace {

struct Vec {
  static constexpr int kLanes = 8;
  static constexpr int kTileRows = 6, kTileVecs = 2;  // 12 of 16 registers hold sums
  static constexpr int kGemvPanels = 2;
  __m256 v;

  static Vec zero() { return {_mm256_setzero_ps()}; }
  static Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
  static Vec load(const void* p) { return {_mm256_loadu_ps(static_cast<const float*>(p))}; }
  static Vec load_f16(const void* p) {
    return {_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)))};
  }
  static Vec load_bf16(const void* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
  }
  static Vec load_u8(const uint8_t* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))};
  }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
};

inline Vec operator+(Vec a, Vec b) {
  return {_mm256_add_ps(a.v, b.v)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm256_sub_ps(a.v, b.v)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm256_mul_ps(a.v, b.v)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm256_div_ps(a.v, b.v)};
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.v, b.v, c.v)};
}
inline Vec max(Vec a, Vec b) {
  return {_mm256_max_ps(a.v, b.v)};
}
inline Vec min(Vec a, Vec b) {
  return {_mm256_min_ps(a.v, b.v)};
}
/// a · 2^n, n the low mantissa bits of `shifted`.
inline Vec times_power_of_two(Vec a, Vec shifted) {
  return {_mm256_castsi256_ps(_mm256_add_epi32(
      _mm256_castps_si256(a.v), _mm256_slli_epi32(_mm256_castps_si256(shifted.v), 23)))};
}
inline Vec zero_where_below(Vec a, Vec x, Vec limit) {
  return {_mm256_andnot_ps(_mm256_cmp_ps(x.v, limit.v, _CMP_LT_OQ), a.v)};
}

using Words = __m256i;
inline Words load_words(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}

/// Codes as floats, less a zero that all share.
struct Codebook {
  __m256 zero;
  explicit Codebook(float shared_zero) : zero(_mm256_set1_ps(shared_zero)) {}
  template <int Shift>
  Vec nibble(Words words) const {
    return masked(_mm256_srli_epi32(words, Shift), 15);
  }
  template <int Shift>
  Vec byte(Words words) const {
    return masked(_mm256_srli_epi32(words, Shift), 255);
  }
  Vec masked(Words words, int mask) const {
    const __m256i code = _mm256_and_si256(words, _mm256_set1_epi32(mask));
    return {_mm256_sub_ps(_mm256_cvtepi32_ps(code), zero)};
  }
};

}  // namespace
}  // namespace attar

#include "compress/kernels/kernels.inc"

namespace attar {
constexpr KernelTable kAvx2Kernels = table("avx2");
}  // namespace attar
