// NEON with USDOT and USMMLA, products of unsigned and signed bytes (I8MM of ARMv8.6).
#include "compress/kernels/neon.inc"

namespace attar {
namespace {

/// Sums of codes · activations of 4 columns, for a row that has no partner.
template <PackedFormat Format>
struct Dot {
  static constexpr int32_t kBias = 0;
  static constexpr int64_t kBlocksBeforeFlush = 0;  // never
  int32x4_t sum;
  void start(Ints from) { sum = from.v; }
  void add(const Split<Format>& w, const int8_t* x, int64_t second) {
    sum = vusdotq_s32(sum, w.first, four(x));
    if constexpr (Format == PackedFormat::u4) sum = vusdotq_s32(sum, w.second, four(x + second));
  }
  void flush() {}
  Ints result() const { return {sum}; }
};

template <PackedFormat Format, int R, int C>
struct SegmentSums;

/// The integer sums of one segment for pairs of rows: USMMLA multiplies two output columns by two
/// rows, eight deep, which is twice the work of USDOT.
template <PackedFormat Format, int R, int C>
requires(R % 2 == 0) struct SegmentSums<Format, R, C> {
  // Of a pair of rows r, s and columns i, i + 1: [i r, i s, i + 1 r, i + 1 s].
  int32x4_t sum[R / 2][C][2];

  void start(const PackedView& w, const int32_t* row_sums) {
    for (int r = 0; r < R / 2; ++r) {
      const int32x2_t pair = vmul_n_s32(vld1_s32(row_sums + 2 * r), -static_cast<int32_t>(w.zero));
      for (int c = 0; c < C; ++c) sum[r][c][0] = sum[r][c][1] = vcombine_s32(pair, pair);
    }
  }

  /// Eight columns of codes: a block of nibbles, one or two of bytes.
  template <bool Whole>
  void step(const std::byte* from, const int8_t* codes, int64_t pitch) {
    constexpr int64_t kBlockBytes = 4 * kPanel, kAhead = 8192;
    __builtin_prefetch(from + kAhead);
    __builtin_prefetch(from + kAhead + 64);
    uint8x16_t weights[C][2];
    for (int c = 0; c < C; ++c) {
      Split<Format> split;
      split.load(from + c * 16);
      if constexpr (Format == PackedFormat::u8)
        split.second = Whole
                           ? vld1q_u8(reinterpret_cast<const uint8_t*>(from + kBlockBytes + c * 16))
                           : vdupq_n_u8(0);
      const uint32x4_t first = vreinterpretq_u32_u8(split.first);
      const uint32x4_t second = vreinterpretq_u32_u8(split.second);
      weights[c][0] = vreinterpretq_u8_u32(vzip1q_u32(first, second));
      weights[c][1] = vreinterpretq_u8_u32(vzip2q_u32(first, second));
    }
    for (int r = 0; r < R / 2; ++r) {
      const int32x2_t first = vreinterpret_s32_s8(vld1_s8(codes + 8 * r));
      const int32x2_t second = vreinterpret_s32_s8(vld1_s8(codes + 8 * r + pitch));
      const int32x2x2_t rows = vzip_s32(first, second);
      const int8x16_t x = vreinterpretq_s8_s32(vcombine_s32(rows.val[0], rows.val[1]));
      for (int c = 0; c < C; ++c)
        for (int half = 0; half < 2; ++half)
          sum[r][c][half] = vusmmlaq_s32(sum[r][c][half], weights[c][half], x);
    }
  }

  void blocks(int64_t count, const std::byte* from, const int8_t* codes, int64_t pitch) {
    constexpr int64_t kBlocks = Format == PackedFormat::u4 ? 1 : 2;
    for (; count >= kBlocks; count -= kBlocks) {
      step<true>(from, codes, pitch);
      from += kBlocks * 4 * kPanel;
      codes += 2 * pitch;
    }
    if (count > 0) step<false>(from, codes, pitch);
  }

  Vec result(int r, int c) const {
    const auto& both = sum[r / 2][c];
    return to_float({r % 2 == 0 ? vuzp1q_s32(both[0], both[1]) : vuzp2q_s32(both[0], both[1])});
  }
};

}  // namespace
}  // namespace attar

#include "compress/kernels/kernels.inc"

namespace attar {
constexpr KernelTable kI8mmKernels = table("i8mm");
}  // namespace attar
