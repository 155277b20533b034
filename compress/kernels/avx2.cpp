// AVX2 with FMA and F16C.
#include "compress/kernels/avx2.inc"

namespace attar {
namespace {

/// A block's bytes of 8 columns: nibbles apart (u4); code − 128 as magnitude and signs (u8),
/// because maddubs saturates when both factors use their full range: 2 · 128 · 127 fits, 2 · 255 ·
/// 127 does not.
template <PackedFormat Format>
struct Split {
  __m256i first, second;
  void load(const void* p) {
    const __m256i bytes = load_words(p);
    if constexpr (Format == PackedFormat::u4) {
      first = nibbles(bytes);
      second = nibbles(shifted_right_by_four(bytes));
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
//
#include "compress/kernels/avx2_wide.inc"

namespace attar {
constexpr KernelTable kAvx2Kernels = with_avx2_tiles(table("avx2"));
}  // namespace attar
