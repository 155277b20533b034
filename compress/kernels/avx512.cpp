// AVX-512 F, BW, VL, DQ and VNNI.
#include <immintrin.h>

#include "compress/kernels/kernel_table.h"

namespace attar {
namespace {

struct Vec {
  static constexpr int kLanes = 16;
  static constexpr int kTileRows = 12, kTileVecs = 2;  // 24 of 32 registers hold sums
  static constexpr int kGemvPanels = 4;
  __m512 v;

  static Vec zero() { return {_mm512_setzero_ps()}; }
  static Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
  static Vec load(const void* p) { return {_mm512_loadu_ps(p)}; }
  static Vec load_f16(const void* p) {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
  }
  static Vec load_bf16(const void* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
  }
  static Vec load_u8(const uint8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))};
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
};

inline Vec operator+(Vec a, Vec b) {
  return {_mm512_add_ps(a.v, b.v)};
}
inline Vec operator-(Vec a, Vec b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
inline Vec operator*(Vec a, Vec b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
inline Vec operator/(Vec a, Vec b) {
  return {_mm512_div_ps(a.v, b.v)};
}
inline Vec fma(Vec a, Vec b, Vec c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline Vec max(Vec a, Vec b) {
  return {_mm512_max_ps(a.v, b.v)};
}
inline Vec min(Vec a, Vec b) {
  return {_mm512_min_ps(a.v, b.v)};
}
/// a · 2^n, n the low mantissa bits of `shifted`.
inline Vec times_power_of_two(Vec a, Vec shifted) {
  return {_mm512_castsi512_ps(_mm512_add_epi32(
      _mm512_castps_si512(a.v), _mm512_slli_epi32(_mm512_castps_si512(shifted.v), 23)))};
}
inline Vec zero_where_below(Vec a, Vec x, Vec limit) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, limit.v, _CMP_NLT_UQ), a.v)};
}

using Words = __m512i;
inline Words load_words(const void* p) {
  return _mm512_loadu_si512(p);
}

/// Codes as floats, less a zero that all share. A nibble is looked up in a register of 16 values,
/// which saves the mask, the conversion and the subtraction.
struct Codebook {
  __m512 zero, values;
  explicit Codebook(float shared_zero)
      : zero(_mm512_set1_ps(shared_zero)),
        values(_mm512_sub_ps(_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                             zero)) {}
  template <int Shift>
  Vec nibble(Words words) const {
    return {_mm512_permutexvar_ps(_mm512_srli_epi32(words, Shift), values)};
  }
  template <int Shift>
  Vec byte(Words words) const {
    const __m512i code = _mm512_and_si512(_mm512_srli_epi32(words, Shift), _mm512_set1_epi32(255));
    return {_mm512_sub_ps(_mm512_cvtepi32_ps(code), zero)};
  }
};

}  // namespace
}  // namespace attar

#include "compress/kernels/kernels.inc"

namespace attar {
constexpr KernelTable kAvx512Kernels = table("avx512");
}  // namespace attar
