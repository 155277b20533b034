// IQ4_NL: float16 d, 16 bytes of codes as Q4_0's. w = d · value[code]. Read only.
#include "compress/formats/gguf/iq4.h"
#include "compress/formats/gguf/simple_blocks.h"

namespace attar::gguf {
namespace {

void decode_block(const std::byte* from, float* to) {
  const float d = load_half(from);
  const SimpleCodes codes = load_nibbles(from + 2);
  for (size_t i = 0; i < codes.size(); ++i) to[i] = d * kIq4Values[codes[i]];
}

}  // namespace

TensorType iq4_nl_type() {
  return {20, "IQ4_NL", kBlock, 18, decode_block};
}

}  // namespace attar::gguf
