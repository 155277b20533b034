// The levels of IQ4_NL and IQ4_XS.
#pragma once

#include <algorithm>

#include "compress/formats/gguf/simple_blocks.h"
#include "compress/formats/levels.h"

namespace attar::gguf {

inline void decode_iq4(float scale, const SimpleCodes& codes, float* to) {
  const auto levels = level_values(Levels::iq4);
  for (size_t i = 0; i < codes.size(); ++i) to[i] = scale * levels[codes[i]];
}

}  // namespace attar::gguf
