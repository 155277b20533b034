// What stays takes over for what goes: refits an output projection on the columns that are left.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace attar {

/// The [rows, kept] weights whose outputs on the kept inputs come nearest to w's on all of them:
/// (W G_{:,K} + λ W_K) (G_KK + λ)⁻¹ with G = Σ x xᵀ [cols, cols] and λ = damping · mean diagonal. w
/// [rows, cols]; kept ascending. Returns nothing when G is not finite or cannot be factored.
std::vector<float> refit_columns(std::span<const float> w, int64_t rows, int64_t cols,
                                 std::span<const double> gram, std::span<const int64_t> kept,
                                 double damping = 0.01);

}  // namespace attar
