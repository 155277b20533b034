// Matrix products with packed weights: y = x Wᵀ, the one routine that evaluation and deployment
// share.
//
// Weights are packed once (one layout for every instruction set, see packed_matrix.h); the
// instruction set is chosen at run time from CPUID and can be forced with
// ATTAR_CPU=portable|avx2|avx512. Every variant gives the same bytes: sums run in a fixed order
// that depends on neither tile, batch, thread count nor instruction set.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "compress/kernels/packed_matrix.h"

namespace attar {

/// How activations enter a product with quantized weights.
enum class Activations {
  exact,  // float32
  /// Products with quantized weights take x rounded to int8, one scale per row and segment of
  /// columns (as long as the weights' group, at most 128): integer sums are exact and enter a chain
  /// of fused steps in segment order, again the same bytes everywhere. Dense weights are multiplied
  /// exactly.
  int8,
};

/// y[m, w.rows] = x[m, w.cols] · Wᵀ, row-major, y overwritten. Threads: the process's pool.
/// Exact: every output is one chain of fused steps, sum = fma(x[k], w[k], sum) for k = 0, 1, …, w
/// as float32, (code − zero) · scale for integers. So a quantized matrix gives the bytes that its
/// dequantized one gives.
void matmul(const float* x, int64_t m, const PackedMatrix& w, float* y,
            Activations activations = Activations::exact);

/// One product of several with the same x.
struct Product {
  const PackedMatrix* w;
  float* y;  // [m, w->rows()]
};
/// All of them in one go, which costs one fork and join instead of several.
void matmul(const float* x, int64_t m, std::span<const Product> products,
            Activations activations = Activations::exact);

/// "avx512": the instruction set in use; throws bad_input when ATTAR_CPU names an unknown one or
/// one that this processor lacks.
std::string_view kernel_name();

}  // namespace attar
