// The second-order picture of a linear layer's inputs, and its triangular factor.
//
// With H = 2/n Σ x xᵀ over the calibration inputs, the loss of replacing W by Q is tr((W − Q) H (W
// − Q)ᵀ). Writing H = R Rᵀ with R upper triangular, and F_ij = R_ij / R_jj, D_j = R_jj²:
//
//   loss = Σ_j D_j ‖ e_j + Σ_{i<j} e_i F_ij ‖²,   e = W − Q, columns in processing order
//
// which is minimized column by column by rounding w_j + Σ_{i<j} e_i F_ij. This is GPTQ (Frantar et
// al. 2022; with U the upper Cholesky factor of inv(H), D_j = 1/U_jj²) in the form of LDLQ (Chee et
// al. 2023, theorem 6): the same numbers, without an inverse.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace attar {

enum class ColumnOrder {
  none,        // left to right
  descending,  // by falling H_jj ("static act-order": groups stay those of the original order)
};

struct HessianOptions {
  double damping = 0.01;  // times the mean diagonal, added to the diagonal
  ColumnOrder order = ColumnOrder::descending;
};

struct HessianFactor {
  int64_t size = 0;
  std::vector<int32_t> order;   // order[k] = the column that is processed k-th
  std::vector<float> feedback;  // F [size, size] in processing order, rows i, zero unless i < j
  std::vector<double> pivots;   // D [size]
  double damping = 0;           // the fraction that it took
  int escalations = 0;          // how often the damping was raised (× 10)
  std::vector<uint8_t> dead;    // [size] by original column: its input was always 0
  int64_t dead_columns = 0;
  bool ok = false;  // false: not positive definite at any damping tried, or not finite
};

/// Factors h [size, size] (symmetric; both triangles are read) in double precision. A dead column
/// (H_jj = 0) gets the mean diagonal and no coupling: it is rounded to nearest. When the
/// factorization breaks down, the damping is raised tenfold, up to 1.
HessianFactor factor_hessian(std::span<const float> h, int64_t size,
                             const HessianOptions& options = {});

/// Cholesky factorization in place: a [n, n] symmetric, lower triangle read and overwritten by L
/// with L Lᵀ = a. False when a pivot is not positive or not finite.
bool cholesky(std::span<double> a, int64_t n);

/// Σ over rows of e h eᵀ, e [rows, size], h [size, size].
double output_energy(std::span<const float> e, int64_t rows, std::span<const float> h,
                     int64_t size);

}  // namespace attar
