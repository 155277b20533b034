// AVX2 with FMA and F16C.
#include <immintrin.h>

#include "compress/kernels/kernel_table.h"

namespace attar {
namespace {

struct Vec {
  static constexpr int kLanes = 8;
  static constexpr int kTileRows = 6, kTileVecs = 2;  // 12 of 16 registers hold sums
  static constexpr int kInt8Rows = 4;
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

/// The larger magnitude by bit pattern, so that a NaN wins.
inline Vec max_magnitude(Vec a, Vec b) {
  const __m256i bits = _mm256_and_si256(_mm256_castps_si256(b.v), _mm256_set1_epi32(0x7fffffff));
  return {_mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a.v), bits))};
}
inline float largest_lane(Vec a) {
  const __m256i bits = _mm256_castps_si256(a.v);
  __m128i top = _mm_max_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  top = _mm_max_epi32(top, _mm_shuffle_epi32(top, 0x4e));
  top = _mm_max_epi32(top, _mm_shuffle_epi32(top, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(top));
}

struct Ints {
  __m256i v;
  static Ints broadcast(int32_t x) { return {_mm256_set1_epi32(x)}; }
  static Ints load_u8(const uint8_t* p) {
    return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
  }
  void store_bytes(int8_t* p) const {
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
  }
  int32_t total() const {
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
  }
  Ints low_seven_bits() const { return {_mm256_srai_epi32(_mm256_slli_epi32(v, 25), 25)}; }
  Ints shifted_right_by_seven() const { return {_mm256_srai_epi32(v, 7)}; }
};
inline Ints operator+(Ints a, Ints b) {
  return {_mm256_add_epi32(a.v, b.v)};
}
inline Ints operator-(Ints a, Ints b) {
  return {_mm256_sub_epi32(a.v, b.v)};
}
inline Ints operator*(Ints a, Ints b) {
  return {_mm256_mullo_epi32(a.v, b.v)};
}
/// To nearest even.
inline Ints rounded(Vec a) {
  return {_mm256_cvtps_epi32(a.v)};
}
inline Vec to_float(Ints a) {
  return {_mm256_cvtepi32_ps(a.v)};
}

/// A block's bytes of 8 columns: nibbles apart (u4); code − 128 as magnitude and signs (u8),
/// because maddubs saturates when both factors use their full range: 2 · 128 · 127 fits, 2 · 255 ·
/// 127 does not.
template <PackedFormat Format>
struct Split {
  __m256i first, second;
  void load(const void* p) {
    const __m256i bytes = load_words(p);
    if constexpr (Format == PackedFormat::u4) {
      const __m256i mask = _mm256_set1_epi8(15);
      first = _mm256_and_si256(bytes, mask);
      second = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask);
    } else {
      second = _mm256_xor_si256(bytes, _mm256_set1_epi8(-128));
      first = _mm256_abs_epi8(second);
    }
  }
};
/// Sums of codes (u8: codes − 128) · activations of 8 columns: pairs in 16 bits, which hold 8
/// products of nibbles (8 · 2 · 15 · 127 = 30480) or one of bytes, then in 32.
template <PackedFormat Format>
struct Dot {
  static constexpr int32_t kBias = Format == PackedFormat::u8 ? 128 : 0;
  static constexpr int64_t kBlocksBeforeFlush = 4;
  __m256i sum, pairs;
  void start(Ints from) {
    sum = from.v;
    pairs = _mm256_setzero_si256();
  }
  static __m256i four(const int8_t* x) {
    int32_t word;
    __builtin_memcpy(&word, x, sizeof word);
    return _mm256_set1_epi32(word);
  }
  void add(const Split<Format>& w, const int8_t* x, int64_t second) {
    if constexpr (Format == PackedFormat::u4) {
      const __m256i low = _mm256_maddubs_epi16(w.first, four(x));
      const __m256i high = _mm256_maddubs_epi16(w.second, four(x + second));
      pairs = _mm256_add_epi16(pairs, _mm256_add_epi16(low, high));
    } else {
      const __m256i products = _mm256_maddubs_epi16(w.first, _mm256_sign_epi8(four(x), w.second));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
    }
  }
  void flush() {
    if constexpr (Format == PackedFormat::u4) {
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
      pairs = _mm256_setzero_si256();
    }
  }
  Ints result() const { return {sum}; }
};

}  // namespace
}  // namespace attar

#include "compress/kernels/kernels.inc"

namespace attar {
constexpr KernelTable kAvx2Kernels = table("avx2");
}  // namespace attar
