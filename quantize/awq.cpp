#include "quantize/awq.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "compress/base/threads.h"
#include "quantize/hessian.h"
#include "quantize/rtn.h"

namespace attar {
namespace {

constexpr float kLeast = 1e-4f;

int64_t columns_of(const MatrixView& matrix) {
  return static_cast<int64_t>(matrix.values.size()) / matrix.rows;
}

size_t channel_of(std::span<const int32_t> channel, int64_t column) {
  return static_cast<size_t>(channel.empty() ? column : channel[static_cast<size_t>(column)]);
}

/// Mean over all rows, and over the columns of a channel, of |w| / (largest of its group + 1e-6).
std::vector<double> weight_magnitude(std::span<const MatrixView> readers, size_t channels,
                                     std::span<const int32_t> channel) {
  std::vector<double> sums(channels);
  std::vector<int64_t> counts(channels);
  for (const MatrixView& matrix : readers) {
    const int64_t cols = columns_of(matrix);
    const int64_t group = matrix.layout.group == 0 ? cols : matrix.layout.group;
    for (int64_t row = 0; row < matrix.rows; ++row)
      for (int64_t first = 0; first < cols; first += group) {
        const float* w = matrix.values.data() + row * cols + first;
        const int64_t n = std::min(group, cols - first);
        float largest = 0;
        for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(w[i]));
        for (int64_t i = 0; i < n; ++i) {
          const size_t to = channel_of(channel, first + i);
          sums[to] += static_cast<double>(std::abs(w[i])) / (static_cast<double>(largest) + 1e-6);
          ++counts[to];
        }
      }
  }
  for (size_t i = 0; i < channels; ++i)
    sums[i] /= static_cast<double>(std::max<int64_t>(1, counts[i]));
  return sums;
}

/// s = x^r (/ w^(1−r)), at least kLeast, divided by √(max · min).
std::vector<float> candidate(std::span<const float> magnitude, std::span<const double> weights,
                             double exponent, bool duo) {
  std::vector<double> s(magnitude.size());
  for (size_t j = 0; j < s.size(); ++j) {
    double value = std::pow(static_cast<double>(magnitude[j]), exponent);
    if (duo) value /= std::pow(weights[j], 1 - exponent) + 1e-4;
    s[j] = std::max(value, static_cast<double>(kLeast));
  }
  const auto [least, most] = std::minmax_element(s.begin(), s.end());
  const double middle = std::sqrt(*least * *most);
  std::vector<float> result(s.size());
  for (size_t j = 0; j < s.size(); ++j) result[j] = static_cast<float>(s[j] / middle);
  return result;
}

/// tr(E H Eᵀ) of E = W − Q(W s)/s.
double loss_of(const MatrixView& matrix, std::span<const float> s, std::span<const float> h,
               std::span<const int32_t> channel, const ScaleOptions& scales) {
  const int64_t cols = columns_of(matrix);
  std::vector<float> w(matrix.values.begin(), matrix.values.end());
  std::vector<float> column(static_cast<size_t>(cols));
  for (int64_t c = 0; c < cols; ++c) column[static_cast<size_t>(c)] = s[channel_of(channel, c)];
  const auto for_rows = [&](const auto& f) {
    parallel_for(matrix.rows, 16, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t c = 0; c < cols; ++c)
          f(static_cast<size_t>(row * cols + c), column[static_cast<size_t>(c)]);
    });
  };
  for_rows([&](size_t i, float factor) { w[i] *= factor; });
  const std::vector<float> q = dequantize(rtn(w, matrix.rows, cols, matrix.layout, scales));
  for_rows([&](size_t i, float factor) { w[i] = matrix.values[i] - q[i] / factor; });
  return output_energy(w, matrix.rows, h, cols);
}

}  // namespace

AwqResult awq_factors(std::span<const MatrixView> readers, std::span<const float> magnitude,
                      std::span<const float> h, const AwqOptions& options,
                      std::span<const int32_t> channel) {
  assert(!readers.empty());
  const auto weights = weight_magnitude(readers, magnitude.size(), channel);
  AwqResult result;
  double least = std::numeric_limits<double>::infinity();
  for (int k = 0; k < options.grid; ++k) {
    const double exponent = static_cast<double>(k) / options.grid;
    std::vector<float> s = candidate(magnitude, weights, exponent, options.duo);
    double loss = 0;
    for (const MatrixView& matrix : readers) loss += loss_of(matrix, s, h, channel, options.scales);
    result.losses.push_back(loss);
    if (!(loss < least)) continue;
    least = loss;
    result.factors = std::move(s);
    result.exponent = exponent;
  }
  return result;
}

std::vector<float> smoothquant_factors(std::span<const MatrixView> readers,
                                       std::span<const float> largest, double alpha,
                                       std::span<const int32_t> channel) {
  std::vector<float> weights(largest.size());
  for (const MatrixView& matrix : readers) {
    const int64_t cols = columns_of(matrix);
    for (size_t i = 0; i < matrix.values.size(); ++i) {
      float& most = weights[channel_of(channel, static_cast<int64_t>(i) % cols)];
      most = std::max(most, std::abs(matrix.values[i]));
    }
  }
  std::vector<float> s(largest.size());
  for (size_t j = 0; j < s.size(); ++j) {
    // A channel that never carries anything, or that nobody reads, stays as it is.
    const bool used = largest[j] > 0 && weights[j] > 0;
    s[j] = used ? static_cast<float>(std::pow(static_cast<double>(largest[j]), alpha) /
                                     std::pow(static_cast<double>(weights[j]), 1 - alpha))
                : 1.0f;
  }
  return s;
}

}  // namespace attar
