// Lets a layer make up for the error that quantized layers before it left in its input.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace attar {

/// With exact inputs x̃ = x + d, the weights whose outputs on the inputs x come nearest to W x̃ are
/// W + W D (H + λ)⁻¹, D = Σ d xᵀ, H = Σ x xᵀ. Rounding towards them minimizes ‖W X̃ − Q X‖² (the
/// asymmetric calibration of GPTAQ, arXiv 2504.02692, in closed form). w [rows, n]; h and cross [n,
/// n]; λ = damping · mean diagonal; `share` scales the step. Returns [rows, n]; w itself when h
/// cannot be factored.
std::vector<float> corrected_target(std::span<const float> w, int64_t rows,
                                    std::span<const float> h, std::span<const float> cross,
                                    int64_t n, double damping, double share);

}  // namespace attar
