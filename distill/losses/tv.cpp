// Total variation: ½ Σ |p − q|, without T² (it is bounded; Wen et al.: f-Divergence Minimization,
// 2023).
#include "compress/model/vector_math.h"
#include "distill/losses.h"

namespace attar::distill {
namespace {

// With g = ½ sign(q − p): ∂/∂s = (1/T) · q · (g − Σ q g).
ATTAR_VECTOR_CLONES double row(const LossRow& r, float weight, float* grad) {
  const float *p = r.p, *q = r.q;
  const float factor = weight / r.temperature;
  const double twice = lane_sum(r.vocab, [=](int64_t i) ATTAR_INLINE_LAMBDA {
    const float d = p[i] - q[i];
    return d < 0 ? -d : d;
  });
  const auto mean = static_cast<float>(lane_sum(r.vocab, [=](int64_t i) ATTAR_INLINE_LAMBDA {
    return q[i] > p[i] ? 0.5f * q[i] : (q[i] < p[i] ? -0.5f * q[i] : 0.0f);
  }));
  for (int64_t i = 0; i < r.vocab; ++i) {
    const float sign = q[i] > p[i] ? 0.5f : (q[i] < p[i] ? -0.5f : 0.0f);
    grad[i] += factor * q[i] * (sign - mean);
  }
  return 0.5 * twice;
}

}  // namespace

LossInfo tv_loss() {
  return {"tv", "total variation distance, without T^2", LossNeeds::distributions, row};
}

}  // namespace attar::distill
