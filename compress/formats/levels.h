// What 4-bit codes stand for where that is not the codes themselves: 16 levels, spaced as weights
// are.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace attar {

enum class Levels : uint8_t {
  integers,  // none: the codes themselves, less a zero
  nf4,       // quantiles of a normal distribution, −1 … 1 (Dettmers et al.: QLoRA, 2023, appendix E)
  fp4,       // a sign, two bits of exponent and one of fraction, −1 … 1, as bitsandbytes orders them
  iq4,       // 16 integers, −127 … 113 (ggml-org/ggml, ggml-common.h: kvalues_iq4nl)
};

/// "nf4".
std::string_view to_string(Levels levels);
/// The 16 levels by code. Not of integers.
std::span<const float, 16> level_values(Levels levels);

}  // namespace attar
