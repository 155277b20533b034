#include "compress/training/row_loss.h"

#include <cmath>

#include "compress/model/vector_math.h"

namespace attar {
namespace {

ATTAR_INLINE float largest(const float* x, int64_t count) {
  std::array<float, 16> lanes;
  lanes.fill(x[0]);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16)
    for (int64_t l = 0; l < 16; ++l) {
      float& lane = lanes[static_cast<size_t>(l)];
      lane = x[i + l] > lane ? x[i + l] : lane;
    }
  for (; i < count; ++i) lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
  float best = lanes[0];
  for (const float lane : lanes) best = lane > best ? lane : best;
  return best;
}

/// p = exp((x − max) / T); returns {max, Σ p}.
struct Exponentials {
  float max;
  double sum;
};
ATTAR_VECTOR_CLONES Exponentials exponentials(const float* __restrict x, int64_t count,
                                              float inverse, float* __restrict p) {
  const float max = largest(x, count);
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
