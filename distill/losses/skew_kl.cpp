// Skewed KL: T² · KL(p ‖ a p + (1 − a) q) (Ko et al.: DistiLLM, 2024).
#include "compress/model/vector_math.h"
#include "distill/losses.h"

namespace attar::distill {
namespace {

// With m the mixture and g = −(1 − a) p / m: ∂/∂s = T · q · (g − Σ q g).
ATTAR_VECTOR_CLONES double row(const LossRow& r, float weight, float* grad) {
  const float *p = r.p, *q = r.q, *log_p = r.log_p;
  const float t = r.temperature, a = r.skew_alpha, c = 1.0f - a, factor = weight * t;
  constexpr float kTiny = 1e-37f;  // where p and q both underflow, p / m counts as 0
  const double kl = lane_sum(r.vocab, [=](int64_t i) ATTAR_INLINE_LAMBDA {
    return p[i] * (log_p[i] - vector_log(a * p[i] + c * q[i]));
  });
  const auto mean = static_cast<float>(lane_sum(r.vocab, [=](int64_t i) ATTAR_INLINE_LAMBDA {
    return q[i] * (-c * p[i] / (a * p[i] + c * q[i] + kTiny));
  }));
  for (int64_t i = 0; i < r.vocab; ++i)
    grad[i] += factor * q[i] * (-c * p[i] / (a * p[i] + c * q[i] + kTiny) - mean);
  return kl * t * t;
}

}  // namespace

LossInfo skew_kl_loss() {
  return {"skew_kl", "T^2 KL(teacher || skew_alpha teacher + (1 - skew_alpha) student)",
          LossNeeds::distributions, row};
}

}  // namespace attar::distill
