// Q5_0: float16 d; 32 fifth bits; 16 bytes of low nibbles. w = (code − 16) · d.
#include <algorithm>

#include "compress/formats/gguf/simple_blocks.h"

namespace attar::gguf {
namespace {

constexpr int kZero = 16;
constexpr int64_t kFifth = 2, kNibbles = kFifth + 4, kBytes = kNibbles + kBlock / 2;

void decode_block(const std::byte* from, float* to) {
  const float d = load_half(from);
  SimpleCodes codes = load_nibbles(from + kNibbles);
  load_fifth_bits(from + kFifth, codes);
  for (size_t i = 0; i < codes.size(); ++i) to[i] = static_cast<float>(codes[i] - kZero) * d;
}

void take_apart(const std::byte* from, BlockParts& to) {
  to.d = load_half(from);
  SimpleCodes codes = load_nibbles(from + kNibbles);
  load_fifth_bits(from + kFifth, codes);
  set_simple(codes, to);
}

void encode_row(const float* x, int64_t cols, const float* importance, std::byte* to) {
  for (int64_t i = 0; i < cols; i += kBlock, to += kBytes) {
    SimpleCodes codes;
    store_half(encode_centered(x + i, importance ? importance + i : nullptr, kZero, codes), to);
    store_fifth_bits(codes, to + kFifth);
    store_nibbles(codes, to + kNibbles);
  }
}

void put_codes(const uint8_t* codes, std::byte* block) {
  SimpleCodes all;
  std::copy_n(codes, kBlock, all.begin());
  store_fifth_bits(all, block + kFifth);
  store_nibbles(all, block + kNibbles);
}

}  // namespace

TensorType q5_0_type() {
  return {6, "Q5_0", kBlock, kBytes, decode_block, encode_row, 5, kBlock, put_codes, take_apart};
}

}  // namespace attar::gguf
