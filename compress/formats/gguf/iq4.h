// The 16 values that the codes of IQ4_NL and IQ4_XS stand for (ggml-org/ggml, ggml-common.h).
#pragma once

#include <array>

#include "compress/formats/gguf/simple_blocks.h"

namespace attar::gguf {

constexpr std::array<float, 16> kIq4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                              1,    13,   25,  38,  53,  69,  89,  113};

/// As codes of 8 bits around 128, which the values are.
inline void put_iq4(const SimpleCodes& codes, uint8_t* to) {
  for (size_t i = 0; i < codes.size(); ++i)
    to[i] = static_cast<uint8_t>(128 + static_cast<int>(kIq4Values[codes[i]]));
}

}  // namespace attar::gguf
