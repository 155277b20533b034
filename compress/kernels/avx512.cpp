// AVX-512 F, BW, VL, DQ and VNNI.
#include <immintrin.h>

#include "compress/kernels/kernel_table.h"

namespace attar {
namespace {

struct Vec {
  static constexpr int kLanes = 16;
  static constexpr int kTileRows = 12, kTileVecs = 2;  // 24 of 32 registers hold sums
  static constexpr int kInt8Rows = 4;  // with fewer than 12 rows, see avx512_wide.inc
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

/// The larger magnitude by bit pattern, so that a NaN wins.
inline Vec max_magnitude(Vec a, Vec b) {
  const __m512i bits = _mm512_and_si512(_mm512_castps_si512(b.v), _mm512_set1_epi32(0x7fffffff));
  return {_mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a.v), bits))};
}
inline float largest_lane(Vec a) {
  const int bits = _mm512_reduce_max_epi32(_mm512_castps_si512(a.v));
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(bits)));
}

struct Ints {
  __m512i v;
  static Ints broadcast(int32_t x) { return {_mm512_set1_epi32(x)}; }
  void store_bytes(int8_t* p) const {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(v));
  }
  int32_t total() const {  // wrapping, which the header's own reduction must not
    const __m256i half =
        _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
  }
  Ints low_seven_bits() const { return {_mm512_srai_epi32(_mm512_slli_epi32(v, 25), 25)}; }
  Ints shifted_right_by_seven() const { return {_mm512_srai_epi32(v, 7)}; }
};
inline Ints operator+(Ints a, Ints b) {
  return {_mm512_add_epi32(a.v, b.v)};
}
inline Ints operator-(Ints a, Ints b) {
  return {_mm512_sub_epi32(a.v, b.v)};
}
/// To nearest even.
inline Ints rounded(Vec a) {
  return {_mm512_cvtps_epi32(a.v)};
}
inline Vec to_float(Ints a) {
  return {_mm512_cvtepi32_ps(a.v)};
}

inline Words nibbles(Words words) {
  return _mm512_and_si512(words, _mm512_set1_epi8(15));
}
inline Words shifted_right_by_four(Words words) {
  return _mm512_srli_epi16(words, 4);
}
/// 16 bytes by the codes in nibbles: the low ones, then the high ones.
struct LevelTable {
  __m512i values;
  explicit LevelTable(const uint8_t* table)
      : values(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)))) {}
  void look_up(Words codes, std::byte* low, std::byte* high) const {
    _mm512_storeu_si512(low, _mm512_shuffle_epi8(values, nibbles(codes)));
    _mm512_storeu_si512(high, _mm512_shuffle_epi8(values, nibbles(shifted_right_by_four(codes))));
  }
};
inline Words broadcast_word(int32_t word) {
  return _mm512_set1_epi32(word);
}
inline Words add_products(Words sum, Words codes, Words x) {
  return _mm512_dpbusd_epi32(sum, codes, x);
}

}  // namespace
}  // namespace attar

#include "compress/kernels/vnni.inc"
//
#include "compress/kernels/kernels.inc"
//
#include "compress/kernels/wide.inc"
//
#include "compress/kernels/avx512_wide.inc"

namespace attar {
constexpr KernelTable kAvx512Kernels = with_wide_tiles(table("avx512"));
}  // namespace attar
