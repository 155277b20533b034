// Products of activations summed over tokens, XᵀX and AᵀB: what quantizers and pruners calibrate
// with.
#pragma once

#include <cstdint>

namespace attar {

/// h [cols, cols] += XᵀX for x [rows, cols]; h is symmetric and stays so. Products are summed in
/// float32 over chunks of 512 rows, chunks in double; identical bytes for any thread count and
/// instruction set.
void accumulate_gram(const float* x, int64_t rows, int64_t cols, double* h);

/// The same from x rounded to int8, one scale for a column's 128 rows, four times as fast. What
/// rounding adds is like noise of its own in every column: at most 128 / (12 · 127²) = 0.07 % of
/// the column's diagonal entry (one large value among 128), commonly a tenth of that, and nothing
/// but chance elsewhere. A value that is not finite makes its column's entries NaN.
void accumulate_gram_int8(const float* x, int64_t rows, int64_t cols, double* h);

/// Copies the upper triangle of h [cols, cols] to the lower one.
void mirror_upper(int64_t cols, double* h);

/// h [a_cols, b_cols] += AᵀB for a [rows, a_cols] and b [rows, b_cols], summed in the same way.
void accumulate_cross(const float* a, int64_t a_cols, const float* b, int64_t b_cols, int64_t rows,
                      double* h);

}  // namespace attar
