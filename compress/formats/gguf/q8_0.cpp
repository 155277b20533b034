// Q8_0: float16 d; 32 signed bytes. w = d · q.
#include <algorithm>
#include <cmath>

#include "compress/formats/gguf/codecs.h"

namespace attar::gguf {
namespace {

constexpr int64_t kBytes = 2 + kBlock;

void decode_block(const std::byte* from, float* to) {
  const float d = load_half(from);
  for (int64_t i = 0; i < kBlock; ++i)
    to[i] = static_cast<float>(static_cast<int8_t>(byte_at(from, 2 + i))) * d;
}

void take_apart(const std::byte* from, BlockParts& to) {
  to.d = load_half(from);
  to.scales[0] = 1;
  for (int64_t i = 0; i < kBlock; ++i)  // + 128, whichever way the sign bit is read
    to.codes[static_cast<size_t>(i)] = byte_at(from, 2 + i) ^ 128;
}

/// The largest value becomes ±127. At 8 bits no search pays, so importance changes nothing.
void encode_row(const float* x, int64_t cols, const float*, std::byte* to) {
  for (; cols > 0; cols -= kBlock, x += kBlock, to += kBytes) {
    float largest = 0;
    for (int64_t i = 0; i < kBlock; ++i) largest = std::max(largest, std::abs(x[i]));
    const float d = largest / 127.0f, inverse = d != 0 ? 1.0f / d : 0.0f;
    store_half(d, to);
    for (int64_t i = 0; i < kBlock; ++i)
      put_byte(to, 2 + i, static_cast<int>(std::round(x[i] * inverse)));
  }
}

void put_codes(const uint8_t* codes, std::byte* block) {
  for (int64_t i = 0; i < kBlock; ++i) put_byte(block, 2 + i, codes[i] - 128);
}

}  // namespace

TensorType q8_0_type() {
  return {8, "Q8_0", kBlock, kBytes, decode_block, encode_row, 8, kBlock, put_codes, take_apart};
}

}  // namespace attar::gguf
