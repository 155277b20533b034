// IQ4_XS: float16 d, the high two bits of 8 scales in 16 bits, their low nibbles in 4 bytes, then 8
// times 16 bytes of codes as Q4_0's. w = d · (scale − 32) · value[code]. Read only.
#include "compress/formats/gguf/iq4.h"
#include "compress/formats/gguf/simple_blocks.h"

namespace attar::gguf {
namespace {

constexpr int64_t kLow = 4, kCodes = 8, kBytes = 136;

void decode_block(const std::byte* from, float* to) {
  const float d = load_half(from);
  uint16_t high;
  std::memcpy(&high, from + 2, sizeof high);
  for (int64_t g = 0; g < kSuperBlock / kBlock; ++g, to += kBlock) {
    const int low = byte_at(from, kLow + g / 2) >> (g % 2 * 4) & 15;
    const float scale = d * static_cast<float>((low | (high >> (2 * g) & 3) << 4) - 32);
    const SimpleCodes codes = load_nibbles(from + kCodes + g * kBlock / 2);
    for (size_t i = 0; i < codes.size(); ++i) to[i] = scale * kIq4Values[codes[i]];
  }
}

}  // namespace

TensorType iq4_xs_type() {
  return {23, "IQ4_XS", kSuperBlock, kBytes, decode_block};
}

}  // namespace attar::gguf
