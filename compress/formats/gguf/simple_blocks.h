// What Q4_0, Q4_1, Q5_0 and Q5_1 share: blocks of 32 codes of 4 bits (low nibbles hold the first
// 16) or 5 (the fifth bits in a word of their own), with one scale, and one minimum or a fixed
// zero.
#pragma once

#include <algorithm>
#include <array>

#include "compress/formats/gguf/codecs.h"
#include "compress/formats/gguf/search.h"

namespace attar::gguf {

using SimpleCodes = std::array<uint8_t, kBlock>;

inline void store_nibbles(const SimpleCodes& codes, std::byte* to) {
  for (int64_t i = 0; i < kBlock / 2; ++i)
    put_byte(to, i,
             (codes[static_cast<size_t>(i)] & 15) | (codes[static_cast<size_t>(i) + 16] & 15) << 4);
}

inline SimpleCodes load_nibbles(const std::byte* from) {
  SimpleCodes codes;
  for (size_t i = 0; i < kBlock / 2; ++i) {
    const uint8_t pair = byte_at(from, static_cast<int64_t>(i));
    codes[i] = pair & 15;
    codes[i + 16] = pair >> 4;
  }
  return codes;
}

inline void store_fifth_bits(const SimpleCodes& codes, std::byte* to) {
  uint32_t bits = 0;
  for (size_t i = 0; i < codes.size(); ++i) bits |= static_cast<uint32_t>(codes[i] >> 4) << i;
  std::memcpy(to, &bits, sizeof bits);
}

inline void load_fifth_bits(const std::byte* from, SimpleCodes& codes) {
  uint32_t bits;
  std::memcpy(&bits, from, sizeof bits);
  for (size_t i = 0; i < codes.size(); ++i)
    codes[i] = static_cast<uint8_t>(codes[i] | ((bits >> i) & 1) << 4);
}

/// A block with one scale, which is d itself, and one offset, which is dmin.
inline void set_simple(const SimpleCodes& codes, BlockParts& to) {
  to.scales[0] = to.offsets[0] = 1;
  std::copy_n(codes.begin(), kBlock, to.codes.begin());
}

/// Scale and codes of w = (code − zero) · d, codes 0 … 2·zero − 1. Without importance the extreme
/// value becomes code 0, as ggml rounds; with it the scale is searched.
float encode_centered(const float* x, const float* importance, int zero, SimpleCodes& codes);

/// Scale and minimum of w = code · d + m, codes 0 … levels; likewise.
struct ScaleAndMinimum {
  float scale, minimum;
};
ScaleAndMinimum encode_ranged(const float* x, const float* importance, int levels,
                              SimpleCodes& codes);

}  // namespace attar::gguf
