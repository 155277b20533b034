// Q4_1: float16 d, float16 m; 16 bytes of low nibbles. w = code · d + m.
#include <algorithm>

#include "compress/formats/gguf/simple_blocks.h"

namespace attar::gguf {
namespace {

constexpr int kLevels = 15;
constexpr int64_t kMinimum = 2, kNibbles = 4, kBytes = kNibbles + kBlock / 2;

void decode_block(const std::byte* from, float* to) {
  const float d = load_half(from), m = load_half(from + kMinimum);
  const SimpleCodes codes = load_nibbles(from + kNibbles);
  for (size_t i = 0; i < codes.size(); ++i) to[i] = static_cast<float>(codes[i]) * d + m;
}

void take_apart(const std::byte* from, BlockParts& to) {
  to.d = load_half(from);
  to.dmin = -load_half(from + kMinimum);
  const SimpleCodes codes = load_nibbles(from + kNibbles);
  set_simple(codes, to);
}

void encode_row(const float* x, int64_t cols, const float* importance, std::byte* to) {
  for (int64_t i = 0; i < cols; i += kBlock, to += kBytes) {
    SimpleCodes codes;
    const auto fit = encode_ranged(x + i, importance ? importance + i : nullptr, kLevels, codes);
    store_half(fit.scale, to);
    store_half(fit.minimum, to + kMinimum);
    store_nibbles(codes, to + kNibbles);
  }
}

void put_codes(const uint8_t* codes, std::byte* block) {
  SimpleCodes all;
  std::copy_n(codes, kBlock, all.begin());
  store_nibbles(all, block + kNibbles);
}

}  // namespace

TensorType q4_1_type() {
  return {3, "Q4_1", kBlock,    kBytes,     decode_block, encode_row,
          4, kBlock, put_codes, take_apart, true};
}

}  // namespace attar::gguf
