#include "quantize/correction.h"

#include <cassert>

#include "compress/base/threads.h"
#include "quantize/hessian.h"

namespace attar {
namespace {

/// x := x (L Lᵀ)⁻¹ for one row, l lower triangular [n, n].
void solve_row(std::span<const double> l, int64_t n, std::span<double> x) {
  for (int64_t i = 0; i < n; ++i) {
    double sum = x[static_cast<size_t>(i)];
    const double* row = l.data() + i * n;
    for (int64_t j = 0; j < i; ++j) sum -= row[j] * x[static_cast<size_t>(j)];
    x[static_cast<size_t>(i)] = sum / row[i];
  }
  for (int64_t i = n - 1; i >= 0; --i) {
    const double* row = l.data() + i * n;
    const double value = x[static_cast<size_t>(i)] / row[i];
    x[static_cast<size_t>(i)] = value;
    for (int64_t j = 0; j < i; ++j) x[static_cast<size_t>(j)] -= row[j] * value;
  }
}

}  // namespace

std::vector<float> corrected_target(std::span<const float> w, int64_t rows,
                                    std::span<const float> h, std::span<const float> cross,
                                    int64_t n, double damping, double share) {
  assert(static_cast<int64_t>(w.size()) == rows * n);
  std::vector<float> target(w.begin(), w.end());
  std::vector<double> factor(h.begin(), h.end());
  double mean = 0;
  for (int64_t j = 0; j < n; ++j) mean += factor[static_cast<size_t>(j * n + j)];
  mean /= static_cast<double>(n);
  for (int64_t j = 0; j < n; ++j) factor[static_cast<size_t>(j * n + j)] += damping * mean;
  if (!cholesky(factor, n)) return target;
  parallel_for(rows, 8, [&](int64_t begin, int64_t end) {
    std::vector<double> step(static_cast<size_t>(n));
    for (int64_t row = begin; row < end; ++row) {
      std::fill(step.begin(), step.end(), 0.0);
      for (int64_t i = 0; i < n; ++i) {
        const auto weight = static_cast<double>(w[static_cast<size_t>(row * n + i)]);
        const float* from = cross.data() + i * n;
        for (int64_t j = 0; j < n; ++j)
          step[static_cast<size_t>(j)] += weight * static_cast<double>(from[j]);
      }
      solve_row(factor, n, step);
      for (int64_t j = 0; j < n; ++j) {
        float& value = target[static_cast<size_t>(row * n + j)];
        value =
            static_cast<float>(static_cast<double>(value) + share * step[static_cast<size_t>(j)]);
      }
    }
  });
  return target;
}

}  // namespace attar
