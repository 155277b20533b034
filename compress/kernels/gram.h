// Products of activations summed over tokens, XᵀX and AᵀB: what quantizers and pruners calibrate
// with.
#pragma once

#include <cstdint>

namespace attar {

/// h [cols, cols] += XᵀX for x [rows, cols]; h is symmetric and stays so. Products are summed in
/// float32 over chunks of 512 rows, chunks in double; identical bytes for any thread count and
/// instruction set.
void accumulate_gram(const float* x, int64_t rows, int64_t cols, double* h);

/// h [a_cols, b_cols] += AᵀB for a [rows, a_cols] and b [rows, b_cols], summed in the same way.
void accumulate_cross(const float* a, int64_t a_cols, const float* b, int64_t b_cols, int64_t rows,
                      double* h);

}  // namespace attar
