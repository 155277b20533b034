// NEON with SDOT, the product of four signed bytes (DotProd of ARMv8.2).
#include "compress/kernels/neon.inc"

namespace attar {
namespace {

/// Sums of codes (u8: codes − 128, so that both factors are signed) · activations of 4 columns.
template <PackedFormat Format>
struct Dot {
  static constexpr int32_t kBias = Format == PackedFormat::u8 ? 128 : 0;
  static constexpr int64_t kBlocksBeforeFlush = 0;  // never
  int32x4_t sum;
  void start(Ints from) { sum = from.v; }
  void add(const Split<Format>& w, const int8_t* x, int64_t second) {
    int8x16_t codes = vreinterpretq_s8_u8(w.first);
    if constexpr (Format == PackedFormat::u8) codes = veorq_s8(codes, vdupq_n_s8(-128));
    sum = vdotq_s32(sum, codes, four(x));
    if constexpr (Format == PackedFormat::u4)
      sum = vdotq_s32(sum, vreinterpretq_s8_u8(w.second), four(x + second));
  }
  void flush() {}
  Ints result() const { return {sum}; }
};

}  // namespace
}  // namespace attar

#include "compress/kernels/kernels.inc"

namespace attar {
constexpr KernelTable kDotprodKernels = table("dotprod");
}  // namespace attar
