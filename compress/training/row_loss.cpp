#include "compress/training/row_loss.h"

#include <cmath>

#include "compress/model/vector_math.h"

namespace attar {
namespace {

/// p = exp((x − max) / T); returns {max, Σ p}.
struct Exponentials {
  float max;
  double sum;
};
ATTAR_VECTOR_CLONES Exponentials exponentials(const float* __restrict x, int64_t count,
                                              float inverse, float* __restrict p) {
  const float max = lane_max(count, [x](int64_t i) ATTAR_INLINE_LAMBDA { return x[i]; });
  for (int64_t i = 0; i < count; ++i) p[i] = vector_exp((x[i] - max) * inverse);
  return {max, lane_sum(count, [p](int64_t i) ATTAR_INLINE_LAMBDA { return p[i]; })};
}

ATTAR_VECTOR_CLONES void normalize(const float* __restrict x, int64_t count, float inverse,
                                   float max, float log_sum, float scale, float* __restrict log_p,
                                   float* __restrict p) {
  for (int64_t i = 0; i < count; ++i) {
    log_p[i] = (x[i] - max) * inverse - log_sum;
    p[i] *= scale;
  }
}

ATTAR_VECTOR_CLONES void add_scaled(float* __restrict to, const float* __restrict x, float scale,
                                    int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += scale * x[i];
}

}  // namespace

void log_softmax(const float* x, int64_t count, float temperature, float* log_p, float* p) {
  const float inverse = 1.0f / temperature;
  const auto [max, sum] = exponentials(x, count, inverse, p);
  normalize(x, count, inverse, max, static_cast<float>(std::log(sum)),
            static_cast<float>(1.0 / sum), log_p, p);
}

void CrossEntropy::row(const LossInput& input, float scale, float* grad, double* values) const {
  thread_local std::vector<float> p;
  p.resize(static_cast<size_t>(input.vocab));
  const auto [max, sum] = exponentials(input.student, input.vocab, 1.0f, p.data());
  values[0] = std::log(sum) - static_cast<double>(input.student[input.label] - max);
  if (!grad) return;
  add_scaled(grad, p.data(), scale * static_cast<float>(1.0 / sum), input.vocab);
  grad[input.label] -= scale;
}

}  // namespace attar
