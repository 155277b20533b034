#include "compress/runtime/norm.h"

#include <algorithm>
#include <cmath>

#include "compress/base/threads.h"
#include "compress/kernels/kernel_table.h"
#include "compress/runtime/load.h"

namespace attar {

Norm::Norm(const NormSpec& spec, int64_t width, const WeightSource& weights)
    : spec_(spec), width_(width) {
  if (!present()) return;
  weight_ = load_vector(weights, spec.weight, width);
  for (float& w : weight_) w += spec.weight_offset;
  if (!spec.bias.empty()) bias_ = load_vector(weights, spec.bias, width);
}

void Norm::apply_row(const float* x, float* out) const {
  const auto n = static_cast<size_t>(width_);
  float mean = 0;
  if (spec_.kind == NormKind::layer) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]);
    mean = static_cast<float>(sum / static_cast<double>(n));
    for (size_t i = 0; i < n; ++i) out[i] = x[i] - mean;
    x = out;
  }
  const float square = kernels().sum_of_squares(x, width_) / static_cast<float>(n);
  const float factor = 1.0f / std::sqrt(square + spec_.eps);
  for (size_t i = 0; i < n; ++i) out[i] = x[i] * factor * weight_[i];
  for (size_t i = 0; i < bias_.size(); ++i) out[i] += bias_[i];
}

void Norm::apply(const float* x, int64_t rows, float* out) const {
  constexpr int64_t kGrain = 1 << 14;  // values: below it a thread is not worth waking
  parallel_for(rows, std::max<int64_t>(1, kGrain / width_), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) apply_row(x + row * width_, out + row * width_);
  });
}

}  // namespace attar
