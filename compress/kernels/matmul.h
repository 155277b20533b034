// Matrix products with packed weights: y = x Wᵀ, the one routine that evaluation and deployment
// share.
//
// Weights are packed once (one layout for every instruction set, see packed_matrix.h); the
// instruction set is chosen at run time from what the processor says it has and can be forced with
// ATTAR_CPU=portable|avx2|avxvnni|avx512, on 64-bit ARM portable|neon|dotprod|i8mm. Every variant
// gives the same bytes: sums run in a fixed order that depends on neither tile, batch, thread count
// nor instruction set.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "compress/kernels/packed_matrix.h"

namespace attar {

/// How activations enter a product with quantized weights. Dense weights are multiplied in float32
/// in both cases, and weights whose layout says `int8_inputs` (W8A8) take x rounded to int8 with
/// one scale a row, largest magnitude / 127, in both: that is what such a model is.
enum class Activations {
  /// As precise as float32: x enters as three int8 digits, a fixed-point number of 21 bits and sign
  /// for every segment of columns (as long as the weights' group, at most 128), so that the error
  /// is at most 2^-22 of the segment's largest magnitude. Integer sums are exact and enter a chain
  /// of fused steps in segment order; the three chains are added, then offsets (or what a
  /// group's zero differs from 2^(bits − 1) by, times its scale) times the sums of x over their
  /// groups, again in fused steps. Levels enter as digits too, as many as those of x.
  exact,
  /// Two digits, 14 bits and sign: an error of at most 2^-15, two thirds of the arithmetic.
  int16,
  /// x rounded to int8, one scale per row and segment: a third of the arithmetic.
  int8,
};

/// "exact", "int16", "int8".
std::string_view to_string(Activations activations);
/// The other way round; bad_input at `where` for an unknown name.
Activations parse_activations(std::string_view name, const std::string& where);

/// y[m, w.rows] = x[m, w.cols] · Wᵀ, row-major, y overwritten. Threads: the process's pool.
/// Dense weights (and all but int8 activations with groups that are no multiple of 8 columns):
/// every output is one chain of fused steps, sum = fma(x[k], w[k], sum) for k = 0, 1, …, w as
/// float32, (code − zero) · scale for integers.
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
