// Second moments of activations, XᵀX: what quantizers and pruners calibrate with.
#pragma once

#include <cstdint>

namespace attar {

/// h [cols, cols] += XᵀX for x [rows, cols]; h is symmetric and stays so. Products are summed in
/// float32 over chunks of 512 rows, chunks in double; identical bytes for any thread count and
/// instruction set.
void accumulate_gram(const float* x, int64_t rows, int64_t cols, double* h);

}  // namespace attar
