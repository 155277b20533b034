// AVX2 with FMA, F16C and AVX-VNNI.
#include "compress/kernels/avx2.inc"

namespace attar {
namespace {

/// A block's bytes of 8 columns; nibbles apart.
template <PackedFormat Format>
struct Split {
  __m256i low, high;
  void load(const void* p) {
    low = load_words(p);
    if constexpr (Format == PackedFormat::u4) {
      const __m256i mask = _mm256_set1_epi8(15);
      high = _mm256_and_si256(_mm256_srli_epi16(low, 4), mask);
      low = _mm256_and_si256(low, mask);
    }
  }
};
/// Sums of codes · activations of 8 columns.
template <PackedFormat Format>
struct Dot {
  static constexpr int32_t kBias = 0;
  static constexpr int64_t kBlocksBeforeFlush = 0;  // never
  __m256i sum;
  void start(Ints from) { sum = from.v; }
  static __m256i four(const int8_t* x) {
    int32_t word;
    __builtin_memcpy(&word, x, sizeof word);
    return _mm256_set1_epi32(word);
  }
  void add(const Split<Format>& w, const int8_t* x, int64_t second) {
    sum = _mm256_dpbusd_avx_epi32(sum, w.low, four(x));
    if constexpr (Format == PackedFormat::u4)
      sum = _mm256_dpbusd_avx_epi32(sum, w.high, four(x + second));
  }
  void flush() {}
  Ints result() const { return {sum}; }
};

}  // namespace
}  // namespace attar

#include "compress/kernels/kernels.inc"
//
#define ATTAR_AVX_VNNI
#include "compress/kernels/avx2_wide.inc"

namespace attar {
KernelTable with_avx_vnni(KernelTable avx2) {
  avx2.name = "avxvnni";
  return with_avx2_tiles(avx2);
}
}  // namespace attar
