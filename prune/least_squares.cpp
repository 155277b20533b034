#include "prune/least_squares.h"

#include <Eigen/Cholesky>
#include <cassert>

#include "compress/base/threads.h"

namespace attar {

std::vector<float> refit_columns(std::span<const float> w, int64_t rows, int64_t cols,
                                 std::span<const double> gram, std::span<const int64_t> kept,
                                 double damping) {
  assert(static_cast<int64_t>(w.size()) == rows * cols);
  assert(static_cast<int64_t>(gram.size()) == cols * cols);
  const auto count = static_cast<int64_t>(kept.size());
  const auto at = [&](int64_t i, int64_t j) { return gram[static_cast<size_t>(i * cols + j)]; };
  Eigen::MatrixXd inner(count, count);
  double mean = 0;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < count; ++j)
      inner(i, j) = at(kept[static_cast<size_t>(i)], kept[static_cast<size_t>(j)]);
    mean += inner(i, i) / static_cast<double>(count);
  }
  for (int64_t i = 0; i < count; ++i) inner(i, i) += damping * mean;
  if (!inner.allFinite() || !(mean > 0)) return {};
  const Eigen::LLT<Eigen::MatrixXd> factor(inner);
  if (factor.info() != Eigen::Success) return {};

  std::vector<float> result(static_cast<size_t>(rows * count));
  parallel_for(rows, 4, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      Eigen::VectorXd right(count);
      for (int64_t k = 0; k < count; ++k) {
        double sum =
            damping * mean *  // towards the weight that was there
            static_cast<double>(w[static_cast<size_t>(row * cols + kept[static_cast<size_t>(k)])]);
        for (int64_t j = 0; j < cols; ++j)
          sum += static_cast<double>(w[static_cast<size_t>(row * cols + j)]) *
                 at(j, kept[static_cast<size_t>(k)]);
        right(k) = sum;
      }
      const Eigen::VectorXd solution = factor.solve(right);
      for (int64_t k = 0; k < count; ++k)
        result[static_cast<size_t>(row * count + k)] = static_cast<float>(solution(k));
    }
  });
  return result;
}

}  // namespace attar
