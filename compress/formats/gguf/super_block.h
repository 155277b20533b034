// What the K types share: 256 weights in groups, whose small integer scales share one float16. A
// type's own file says only how the parts lie in its bytes.
#pragma once

#include <array>

#include "compress/formats/gguf/codecs.h"
#include "compress/formats/gguf/search.h"

namespace attar::gguf {

constexpr size_t kMostGroups = 16;

/// w = d · scale · code − dmin · offset (Q2_K, Q4_K, Q5_K).
struct AffineBlock {
  float d = 0, dmin = 0;  // float16 values
  std::array<uint8_t, kMostGroups> scales{}, offsets{};
  std::array<uint8_t, kSuperBlock> codes{};
};

struct AffineFormat {
  int64_t group;     // weights that share a scale and an offset
  int levels;        // highest code
  int scale_levels;  // highest scale and offset
  /// How ggml searches without importance; nothing: as with it.
  const AffineSweep* reference;
};

void decode(const AffineBlock& block, const AffineFormat& format, float* to);
BlockParts parts_of(const AffineBlock& block);
/// `importance` [256] or null. With a reference sweep and no importance, exactly ggml's blocks;
/// else scales, offsets, d and dmin are refined together until the weighted error settles.
AffineBlock encode(const float* x, const float* importance, const AffineFormat& format);

/// w = d · scale · code, codes and scales around zero (Q3_K, Q6_K).
struct SymmetricBlock {
  float d = 0;
  std::array<int8_t, kMostGroups> scales{};
  std::array<int8_t, kSuperBlock> codes{};
};

struct SymmetricFormat {
  int64_t group;
  int low, high;              // of codes
  int scale_low, scale_high;  // of scales
};

/// Codes as they are stored, from 0 on.
std::array<uint8_t, kSuperBlock> stored_codes(const SymmetricBlock& block,
                                              const SymmetricFormat& format);

void decode(const SymmetricBlock& block, const SymmetricFormat& format, float* to);
BlockParts parts_of(const SymmetricBlock& block, const SymmetricFormat& format);
SymmetricBlock encode(const float* x, const float* importance, const SymmetricFormat& format);

/// Eight 6-bit scales and offsets in 12 bytes (Q4_K, Q5_K).
void load_scales(const std::byte* from, AffineBlock& block);
void store_scales(const AffineBlock& block, std::byte* to);

}  // namespace attar::gguf
