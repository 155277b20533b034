// Total variation: ½ Σ |p − q|, without T² (it is bounded; Wen et al.: f-Divergence Minimization,
// 2023).
#include "compress/model/vector_math.h"
#include "distill/losses.h"

namespace attar::distill {
namespace {

/// ½ sign(q − p)
ATTAR_INLINE float half_sign(float q, float p) {
  return 0.5f * static_cast<float>(static_cast<int>(q > p) - static_cast<int>(q < p));
}

// With g = ½ sign(q − p): ∂/∂s = (1/T) · q · (g − Σ q g).
ATTAR_VECTOR_CLONES double row(const LossRow& r, float weight, float* grad) {
  const float *p = r.p, *q = r.q;
  const float factor = weight / r.temperature;
  const double twice = lane_sum(
      r.vocab, [=](int64_t i) ATTAR_INLINE_LAMBDA { return __builtin_fabsf(p[i] - q[i]); });
  const auto mean = static_cast<float>(lane_sum(
      r.vocab, [=](int64_t i) ATTAR_INLINE_LAMBDA { return q[i] * half_sign(q[i], p[i]); }));
  for (int64_t i = 0; i < r.vocab; ++i) grad[i] += factor * q[i] * (half_sign(q[i], p[i]) - mean);
  return 0.5 * twice;
}

}  // namespace

LossInfo tv_loss() {
  return {"tv", "total variation distance, without T^2", LossNeeds::distributions, row};
}

}  // namespace attar::distill
