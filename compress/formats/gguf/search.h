// Scales for small groups of weights, by search: what the block types that share scales are encoded
// with. Pure functions; every sum runs in index order.
#pragma once

#include <cstdint>
#include <span>

namespace attar::gguf {

/// How inverse scales are tried: (first + step · i + levels) / (max − min) for i = 0 … steps.
struct AffineSweep {
  float first, step;
  int steps;
};

/// x ≈ scale · code − offset with codes 0 … levels, offset ≥ 0.
struct AffineFit {
  float scale = 0, offset = 0;
};

/// Least squares over the codes that each tried scale gives, errors weighted by `weights` [n]; the
/// best is kept. The order of operations is that of ggml's make_qkx2_quants, so that blocks come
/// out as its own do. `codes` [n] are those of the fit.
AffineFit fit_affine(std::span<const float> x, std::span<const float> weights, int levels,
                     const AffineSweep& sweep, uint8_t* codes);

/// x ≈ scale · code with codes low … high (low < 0 ≤ high); returns the scale of either sign with
/// the smallest weighted squared error among those tried.
float fit_symmetric(std::span<const float> x, std::span<const float> weights, int low, int high);

/// round(x / scale) within [low, high]; 0 (or what is nearest in the range) when scale is 0.
int nearest_code(float x, float scale, int low, int high);

}  // namespace attar::gguf
