// IQ4_XS: float16 d, the high two bits of 8 scales in 16 bits, their low nibbles in 4 bytes, then 8
// times 16 bytes of codes as Q4_0's. w = d · (scale − 32) · level[code]. Read only.
#include "compress/formats/gguf/iq4.h"

namespace attar::gguf {
namespace {

constexpr int64_t kLow = 4, kCodes = 8, kBytes = 136;

int scale_of(const std::byte* from, int64_t g) {
  uint16_t high;
  std::memcpy(&high, from + 2, sizeof high);
  const int low = byte_at(from, kLow + g / 2) >> (g % 2 * 4) & 15;
  return (low | (high >> (2 * g) & 3) << 4) - 32;
}

SimpleCodes codes_of(const std::byte* from, int64_t g) {
  return load_nibbles(from + kCodes + g * kBlock / 2);
}

void decode_block(const std::byte* from, float* to) {
  const float d = load_half(from);
  for (int64_t g = 0; g < kSuperBlock / kBlock; ++g, to += kBlock) {
    decode_iq4(d * static_cast<float>(scale_of(from, g)), codes_of(from, g), to);
  }
}

void take_apart(const std::byte* from, BlockParts& to) {
  to.d = load_half(from);
  for (int64_t g = 0; g < kSuperBlock / kBlock; ++g) {
    to.scales[static_cast<size_t>(g)] = static_cast<int8_t>(scale_of(from, g));
    std::ranges::copy(codes_of(from, g), to.codes.begin() + g * kBlock);
  }
}

}  // namespace

TensorType iq4_xs_type() {
  return {23, "IQ4_XS", kSuperBlock, kBytes,     decode_block, nullptr,
          4,  kBlock,   nullptr,     take_apart, false,        Levels::iq4};
}

}  // namespace attar::gguf
