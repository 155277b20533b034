// Rotated hidden states: the same function in a basis where no channel stands out, which rounds
// better (QuaRot, Ashkboos et al. 2024, arXiv 2404.00456, section 4; R1 and R2 of SpinQuant, Liu et
// al. 2024, arXiv 2405.16406). Everything is folded into the weights: the emitted model is one of
// its family like any other, and costs nothing to run.
//
// With Q = D H, D random signs and H a normalized Walsh-Hadamard matrix (in diagonal blocks of the
// largest power of two that divides the width), hidden states become h Q. RMSNorm commutes with Q
// once its weight has gone into the layers that read it:
//   embedding E -> E Q; readers W -> W diag(g) Q; writers W -> Qᵀ W, b -> Qᵀ b; norms g -> 1.
// Between v and o every head is rotated likewise where nothing stands between them.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "compress/architecture/model.h"

namespace attar {

/// x := x Q for one vector of any length, with `signs` [x.size()] of ±1.
void rotate(std::span<float> x, std::span<const float> signs);

/// Why the model's function would not survive it; empty: it would.
std::string why_not_rotated(const ModelSpec& spec);

/// The same model, rotated; signs from `seed`. A tied head becomes one of its own, for the final
/// norm goes into it and not into the embedding. Tables and norms keep their float type, linear
/// layers become float32. Weights are rotated as they are loaded. Throws bad_input at `where` for a
/// model that why_not_rotated() names a reason for.
Model rotated(const Model& model, uint64_t seed, const std::string& where);

}  // namespace attar
