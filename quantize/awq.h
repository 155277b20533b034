// Per-channel factors for the inputs of linear layers, so that rounding hurts the output less:
// large channels are rounded more finely, at the expense of small ones.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/formats/quantized_matrix.h"
#include "quantize/scales.h"

namespace attar {

/// A linear layer's weight, [rows, cols of the input].
struct MatrixView {
  std::span<const float> values;
  int64_t rows = 0;
  QuantLayout layout;
};

struct AwqOptions {
  int grid = 20;        // exponents tried: 0, 1/grid, … (grid − 1)/grid
  bool duo = true;      // divide by the weights' own magnitude too
  ScaleOptions scales;  // of the rounding that is tried
};

struct AwqResult {
  std::vector<float> factors;  // [channels]
  double exponent = 0;
  std::vector<double> losses;  // [grid] Σ over the layers of tr(E H Eᵀ)
};

/// Lin et al., AWQ (arXiv 2306.00978), section 3.2, on second moments instead of samples: s = x^r,
/// with `duo` x^r / w^(1−r) (as AutoAWQ, with w_j the mean of |W_j| over its group's largest),
/// divided by √(max s · min s); the r with the smallest loss of E = W − Q(W s)/s wins, the first
/// among equals. `magnitude` [channels]: mean |x|. h [cols, cols]. `channel` [cols]: columns that
/// must share a factor have the same number; empty: all apart.
AwqResult awq_factors(std::span<const MatrixView> readers, std::span<const float> magnitude,
                      std::span<const float> h, const AwqOptions& options = {},
                      std::span<const int32_t> channel = {});

/// Xiao et al., SmoothQuant (arXiv 2211.10438), equation 4: s_j = max|x_j|^α / max|W_j|^(1−α) over
/// all rows of all readers. `largest` [channels]: max |x|.
std::vector<float> smoothquant_factors(std::span<const MatrixView> readers,
                                       std::span<const float> largest, double alpha,
                                       std::span<const int32_t> channel = {});

}  // namespace attar
