// Generalized Jensen–Shannon divergence (Agarwal et al.: On-Policy Distillation of Language Models,
// 2023): T² · (b KL(p ‖ m) + (1 − b) KL(q ‖ m)), m = b p + (1 − b) q.
#include "compress/model/vector_math.h"
#include "distill/losses.h"

namespace attar::distill {
namespace {

// With d = log q − log m: ∂/∂s = T (1 − b) · q · (d − Σ q d).
ATTAR_VECTOR_CLONES double row(const LossRow& r, float weight, float* grad) {
  const float *p = r.p, *q = r.q, *log_p = r.log_p, *log_q = r.log_q;
  const float t = r.temperature, b = r.jsd_beta, c = 1.0f - b, factor = weight * t * c;
  const double from_p = lane_sum(r.vocab, [=](int64_t i) ATTAR_INLINE_LAMBDA {
    return p[i] * (log_p[i] - vector_log(b * p[i] + c * q[i]));
  });
  const double from_q = lane_sum(r.vocab, [=](int64_t i) ATTAR_INLINE_LAMBDA {
    return q[i] * (log_q[i] - vector_log(b * p[i] + c * q[i]));
  });
  const auto mean = static_cast<float>(from_q);
  for (int64_t i = 0; i < r.vocab; ++i)
    grad[i] += factor * q[i] * (log_q[i] - vector_log(b * p[i] + c * q[i]) - mean);
  return (b * from_p + c * from_q) * t * t;
}

}  // namespace

LossInfo jsd_loss() {
  return {"jsd", "T^2 generalized Jensen-Shannon divergence (jsd_beta)", LossNeeds::distributions,
          row};
}

}  // namespace attar::distill
