// IQ4_NL: float16 d, 16 bytes of codes as Q4_0's. w = d · level[code]. Read only.
#include "compress/formats/gguf/iq4.h"

namespace attar::gguf {
namespace {

void decode_block(const std::byte* from, float* to) {
  decode_iq4(load_half(from), load_nibbles(from + 2), to);
}

void take_apart(const std::byte* from, BlockParts& to) {
  to.d = load_half(from);
  to.scales[0] = 1;
  std::ranges::copy(load_nibbles(from + 2), to.codes.begin());
}

}  // namespace

TensorType iq4_nl_type() {
  return {20, "IQ4_NL", kBlock,  18,         decode_block, nullptr,
          4,  kBlock,   nullptr, take_apart, false,        Levels::iq4};
}

}  // namespace attar::gguf
