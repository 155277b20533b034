#include "compress/formats/nf4.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "compress/formats/levels.h"

namespace attar {
namespace {

/// Half-way between neighbouring levels.
const std::array<float, 15> kMidpoints = [] {
  const auto levels = level_values(Levels::nf4);
  std::array<float, 15> midpoints{};
  for (size_t i = 0; i < midpoints.size(); ++i) midpoints[i] = 0.5f * (levels[i] + levels[i + 1]);
  return midpoints;
}();

}  // namespace

float round_to_nf4(std::span<const float> values, uint8_t* codes) {
  float largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  const float inverse = largest > 0 ? 1.0f / largest : 0.0f;
  for (size_t i = 0; i < values.size(); ++i) {
    const float z = values[i] * inverse;
    uint8_t code = 0;  // how many midpoints are below z
    for (const float midpoint : kMidpoints) code = static_cast<uint8_t>(code + (z > midpoint));
    codes[i] = code;
  }
  return largest;
}

}  // namespace attar
