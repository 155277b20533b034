// The rounding of NF4 (Dettmers et al.: QLoRA, 2023, section 3), as bitsandbytes computes it: what
// a checkpoint holds and what QLoRA trains on must be the same codes.
#pragma once

#include <cstdint>
#include <span>

namespace attar {

/// Codes of one block: each value, divided by the block's largest magnitude, becomes the nearest
/// level, of two equally near ones the lower; a block of zeros becomes the level 0. `values` are
/// finite, `codes` has room for as many. Returns the largest magnitude, which is the scale.
float round_to_nf4(std::span<const float> values, uint8_t* codes);

}  // namespace attar
