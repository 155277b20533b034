// NEON as every 64-bit ARM processor has it.
#include "compress/kernels/neon.inc"

namespace attar {
namespace {

/// Sums of codes (u8: codes − 128, so that both factors are signed) · activations of 4 columns. Two
/// products of bytes fit in 16 bits (2 · 128 · 127 = 32512), and four of nibbles (4 · 15 · 127).
template <PackedFormat Format>
struct Dot {
  static constexpr int32_t kBias = Format == PackedFormat::u8 ? 128 : 0;
  static constexpr int64_t kBlocksBeforeFlush = 0;  // never
  int32x4_t sum;
  void start(Ints from) { sum = from.v; }
  void add(const Split<Format>& w, const int8_t* x, int64_t second) {
    const int8x16_t factors = four(x);
    int8x16_t codes = vreinterpretq_s8_u8(w.first);
    if constexpr (Format == PackedFormat::u8) codes = veorq_s8(codes, vdupq_n_s8(-128));
    int16x8_t low = vmull_s8(vget_low_s8(codes), vget_low_s8(factors));
    int16x8_t high = vmull_high_s8(codes, factors);
    if constexpr (Format == PackedFormat::u4) {
      const int8x16_t next = four(x + second), more = vreinterpretq_s8_u8(w.second);
      low = vmlal_s8(low, vget_low_s8(more), vget_low_s8(next));
      high = vmlal_high_s8(high, more, next);
    }
    sum = vpadalq_s16(sum, vpaddq_s16(low, high));
  }
  void flush() {}
  Ints result() const { return {sum}; }
};

}  // namespace
}  // namespace attar

#include "compress/kernels/kernels.inc"

namespace attar {
constexpr KernelTable kNeonKernels = table("neon");
}  // namespace attar
