// Q4_0: float16 d; 16 bytes of low nibbles. w = (code − 8) · d.
#include <algorithm>

#include "compress/formats/gguf/simple_blocks.h"

namespace attar::gguf {
namespace {

constexpr int kZero = 8;
constexpr int64_t kNibbles = 2, kBytes = kNibbles + kBlock / 2;

void decode_block(const std::byte* from, float* to) {
  const float d = load_half(from);
  const SimpleCodes codes = load_nibbles(from + kNibbles);
  for (size_t i = 0; i < codes.size(); ++i) to[i] = static_cast<float>(codes[i] - kZero) * d;
}

void take_apart(const std::byte* from, BlockParts& to) {
  to.d = load_half(from);
  const SimpleCodes codes = load_nibbles(from + kNibbles);
  set_simple(codes, to);
}

void encode_row(const float* x, int64_t cols, const float* importance, std::byte* to) {
  for (int64_t i = 0; i < cols; i += kBlock, to += kBytes) {
    SimpleCodes codes;
    store_half(encode_centered(x + i, importance ? importance + i : nullptr, kZero, codes), to);
    store_nibbles(codes, to + kNibbles);
  }
}

void put_codes(const uint8_t* codes, std::byte* block) {
  SimpleCodes all;
  std::copy_n(codes, kBlock, all.begin());
  store_nibbles(all, block + kNibbles);
}

}  // namespace

TensorType q4_0_type() {
  return {2, "Q4_0", kBlock, kBytes, decode_block, encode_row, 4, kBlock, put_codes, take_apart};
}

}  // namespace attar::gguf
