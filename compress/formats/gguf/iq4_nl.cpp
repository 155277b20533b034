// IQ4_NL: float16 d, 16 bytes of codes as Q4_0's. w = d · value[code]. Read only.
#include "compress/formats/gguf/iq4.h"

namespace attar::gguf {
namespace {

void decode_block(const std::byte* from, float* to) {
  const float d = load_half(from);
  const SimpleCodes codes = load_nibbles(from + 2);
  for (size_t i = 0; i < codes.size(); ++i) to[i] = d * kIq4Values[codes[i]];
}

void take_apart(const std::byte* from, BlockParts& to) {
  to.d = load_half(from);
  to.scales[0] = 1;
  put_iq4(load_nibbles(from + 2), to.codes.data());
}

}  // namespace

TensorType iq4_nl_type() {
  return {20, "IQ4_NL", kBlock, 18, decode_block, nullptr, 8, kBlock, nullptr, take_apart};
}

}  // namespace attar::gguf
