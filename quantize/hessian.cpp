#include "quantize/hessian.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "compress/base/threads.h"
#include "compress/kernels/matmul.h"
#include "quantize/lanes.h"

namespace attar {
namespace {

constexpr int64_t kPanel = 64;  // columns factored at a time
using Doubles = double __attribute__((vector_size(64)));

/// rows [begin, end) of a[:, first + panel …] −= P Pᵀ, lower triangle only; P = a[:, first …] and
/// `across` holds Pᵀ, [panel, n]. Sums run over the panel in index order.
ATTAR_CLONES void update_rows(double* a, int64_t n, int64_t first, int64_t panel,
                              const double* across, int64_t begin, int64_t end) {
  constexpr int64_t kRows = 4, kCols = 16;
  for (int64_t i = begin; i < end; i += kRows) {
    const int64_t rows = std::min(kRows, end - i);
    for (int64_t j = first + panel; j < std::min(i + rows, n); j += kCols) {
      Doubles sum[kRows][2] = {};
      for (int64_t k = 0; k < panel; ++k) {
        Doubles p[2];
        std::memcpy(p, across + k * (n + kCols) + j, sizeof p);
        for (int64_t r = 0; r < kRows; ++r) {
          const double left = a[(i + std::min(r, rows - 1)) * n + first + k];
          sum[r][0] += left * p[0];
          sum[r][1] += left * p[1];
        }
      }
      for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < kCols && j + c <= i + r; ++c)
          a[(i + r) * n + j + c] -= c < 8 ? sum[r][0][c] : sum[r][1][c - 8];
    }
  }
}

/// L of the diagonal block a[first …, first …] (panel columns), unblocked.
bool factor_diagonal(double* a, int64_t n, int64_t first, int64_t panel) {
  for (int64_t j = first; j < first + panel; ++j) {
    double pivot = a[j * n + j];
    for (int64_t k = first; k < j; ++k) pivot -= a[j * n + k] * a[j * n + k];
    if (!(pivot > 0) || !std::isfinite(pivot)) return false;
    pivot = std::sqrt(pivot);
    a[j * n + j] = pivot;
    for (int64_t i = j + 1; i < first + panel; ++i) {
      double sum = a[i * n + j];
      for (int64_t k = first; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = sum / pivot;
    }
  }
  return true;
}

/// a[j][i] of the matrix that is factored: columns in processing order, last first, damped.
std::vector<double> reversed(std::span<const float> h, const HessianFactor& factor, double mean,
                             double damping) {
  const int64_t n = factor.size;
  std::vector<double> a(static_cast<size_t>(n * n));
  parallel_for(n, 32, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = factor.order[static_cast<size_t>(n - 1 - i)];
      for (int64_t j = 0; j <= i; ++j) {
        const int64_t col = factor.order[static_cast<size_t>(n - 1 - j)];
        a[static_cast<size_t>(i * n + j)] =
            static_cast<double>(h[static_cast<size_t>(row * n + col)]);
      }
      double& diagonal = a[static_cast<size_t>(i * n + i)];
      if (factor.dead[static_cast<size_t>(row)]) diagonal = mean;
      diagonal += damping * mean;
    }
  });
  return a;
}

/// R = L with both orders reversed, so R_ij = L_{n−1−i, n−1−j}; keeps F and D.
void keep_factor(const std::vector<double>& l, HessianFactor& factor) {
  const int64_t n = factor.size;
  factor.feedback.assign(static_cast<size_t>(n * n), 0.0f);
  factor.pivots.resize(static_cast<size_t>(n));
  const auto at = [&](int64_t i, int64_t j) {
    return l[static_cast<size_t>((n - 1 - i) * n + (n - 1 - j))];
  };
  parallel_for(n, 32, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      factor.pivots[static_cast<size_t>(i)] = at(i, i) * at(i, i);
      for (int64_t j = i + 1; j < n; ++j)
        factor.feedback[static_cast<size_t>(i * n + j)] = static_cast<float>(at(i, j) / at(j, j));
    }
  });
}

}  // namespace

bool cholesky(std::span<double> matrix, int64_t n) {
  assert(static_cast<int64_t>(matrix.size()) == n * n);
  double* a = matrix.data();
  const int64_t stride = n + 16;  // room for a whole tile beyond the last column
  std::vector<double> across(static_cast<size_t>(kPanel * stride));
  for (int64_t first = 0; first < n; first += kPanel) {
    const int64_t panel = std::min(kPanel, n - first);
    if (!factor_diagonal(a, n, first, panel)) return false;
    parallel_for(n - first - panel, 16, [&](int64_t begin, int64_t end) {
      for (int64_t i = first + panel + begin; i < first + panel + end; ++i)
        for (int64_t j = first; j < first + panel; ++j) {
          double sum = a[i * n + j];
          for (int64_t k = first; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
          a[i * n + j] = sum / a[j * n + j];
          across[static_cast<size_t>((j - first) * stride + i)] = a[i * n + j];
        }
    });
    parallel_for(n - first - panel, 16, [&](int64_t begin, int64_t end) {
      update_rows(a, n, first, panel, across.data(), first + panel + begin, first + panel + end);
    });
  }
  return true;
}

HessianFactor factor_hessian(std::span<const float> h, int64_t size,
                             const HessianOptions& options) {
  assert(static_cast<int64_t>(h.size()) == size * size);
  HessianFactor factor;
  factor.size = size;
  factor.dead.assign(static_cast<size_t>(size), 0);
  factor.order.resize(static_cast<size_t>(size));
  std::iota(factor.order.begin(), factor.order.end(), 0);
  const auto diagonal = [&](int64_t j) { return h[static_cast<size_t>(j * size + j)]; };
  double mean = 0;
  for (int64_t j = 0; j < size; ++j) {
    if (!(diagonal(j) >= 0) || !std::isfinite(diagonal(j))) return factor;
    mean += static_cast<double>(diagonal(j));
    factor.dead[static_cast<size_t>(j)] = diagonal(j) == 0;
    factor.dead_columns += diagonal(j) == 0;
  }
  if (factor.dead_columns == size) return factor;
  mean /= static_cast<double>(size - factor.dead_columns);
  if (options.order == ColumnOrder::descending)
    std::stable_sort(factor.order.begin(), factor.order.end(),
                     [&](int32_t a, int32_t b) { return diagonal(a) > diagonal(b); });

  for (double damping = options.damping; damping <= 1.0; ++factor.escalations) {
    std::vector<double> a = reversed(h, factor, mean, damping);
    if (cholesky(a, size)) {
      keep_factor(a, factor);
      factor.damping = damping;
      factor.ok = true;
      return factor;
    }
    damping = std::max(damping * 10, 1e-4);
  }
  return factor;
}

double output_energy(std::span<const float> e, int64_t rows, std::span<const float> h,
                     int64_t size) {
  const auto packed =
      PackedMatrix::pack(DenseTensor{DType::f32, {size, size}, std::as_bytes(h), nullptr});
  constexpr int64_t kRows = 512;  // at a time
  std::vector<float> product(static_cast<size_t>(std::min(rows, kRows) * size));
  std::vector<double> energy(static_cast<size_t>(rows));
  for (int64_t first = 0; first < rows; first += kRows) {
    const int64_t count = std::min(kRows, rows - first);
    const float* from = e.data() + first * size;
    matmul(from, count, packed, product.data());
    parallel_for(count, 16, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t j = row * size; j < (row + 1) * size; ++j)
          energy[static_cast<size_t>(first + row)] +=
              static_cast<double>(from[j]) * static_cast<double>(product[static_cast<size_t>(j)]);
    });
  }
  return std::accumulate(energy.begin(), energy.end(), 0.0);
}

}  // namespace attar
