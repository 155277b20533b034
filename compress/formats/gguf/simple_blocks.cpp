#include "compress/formats/gguf/simple_blocks.h"

#include <algorithm>
#include <cmath>

namespace attar::gguf {
namespace {

float half(float value) {
  return from_float16(to_float16(value));
}

/// Weights [32] for a search: the importance, but never all zero.
std::array<float, kBlock> search_weights(const float* importance) {
  std::array<float, kBlock> weights;
  std::copy_n(importance, kBlock, weights.begin());
  if (std::all_of(weights.begin(), weights.end(), [](float w) { return w <= 0; })) weights.fill(1);
  return weights;
}

}  // namespace

float encode_centered(const float* x, const float* importance, int zero, SimpleCodes& codes) {
  if (importance != nullptr) {
    const auto weights = search_weights(importance);
    const float d = fit_symmetric({x, kBlock}, weights, -zero, zero - 1), stored = half(d);
    for (size_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<uint8_t>(nearest_code(x[i], stored, -zero, zero - 1) + zero);
    return d;
  }
  float extreme = 0;
  for (int64_t i = 0; i < kBlock; ++i)
    if (std::abs(x[i]) > std::abs(extreme)) extreme = x[i];
  const float d = extreme / static_cast<float>(-zero), inverse = d != 0 ? 1.0f / d : 0.0f;
  for (size_t i = 0; i < codes.size(); ++i) {
    const auto code = static_cast<int8_t>(x[i] * inverse + (static_cast<float>(zero) + 0.5f));
    codes[i] = static_cast<uint8_t>(std::min(2 * zero - 1, static_cast<int>(code)));
  }
  return d;
}

ScaleAndMinimum encode_ranged(const float* x, const float* importance, int levels,
                              SimpleCodes& codes) {
  const auto [low, high] = std::minmax_element(x, x + kBlock);
  if (importance != nullptr) {
    // The search fits x ≈ scale · code − offset with offset ≥ 0; here the minimum has any sign, so
    // it is given values above their own minimum.
    std::array<float, kBlock> above;
    for (size_t i = 0; i < above.size(); ++i) above[i] = x[i] - *low;
    const auto fit =
        fit_affine(above, search_weights(importance), levels, {-0.9f, 0.05f, 36}, codes.data());
    const float scale = half(fit.scale), minimum = half(*low - fit.offset);
    for (size_t i = 0; i < codes.size(); ++i)
      codes[i] = static_cast<uint8_t>(nearest_code(x[i] - minimum, scale, 0, levels));
    return {fit.scale, *low - fit.offset};
  }
  const float d = (*high - *low) / static_cast<float>(levels), inverse = d != 0 ? 1.0f / d : 0.0f;
  for (size_t i = 0; i < codes.size(); ++i)
    codes[i] =
        static_cast<uint8_t>(std::min(levels, static_cast<int>((x[i] - *low) * inverse + 0.5f)));
  return {d, *low};
}

}  // namespace attar::gguf
