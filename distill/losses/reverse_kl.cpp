// Reverse KL: T² · KL(q ‖ p) (Gu et al.: MiniLLM, 2023).
#include "compress/model/vector_math.h"
#include "distill/losses.h"

namespace attar::distill {
namespace {

// With d = log q − log p: ∂/∂s = T · q · (d − Σ q d).
ATTAR_VECTOR_CLONES double row(const LossRow& r, float weight, float* grad) {
  const float *q = r.q, *log_p = r.log_p, *log_q = r.log_q;
  const float t = r.temperature, factor = weight * t;
  const double kl = lane_sum(
      r.vocab, [=](int64_t i) ATTAR_INLINE_LAMBDA { return q[i] * (log_q[i] - log_p[i]); });
  const auto mean = static_cast<float>(kl);
  for (int64_t i = 0; i < r.vocab; ++i) grad[i] += factor * q[i] * (log_q[i] - log_p[i] - mean);
  return kl * t * t;
}

}  // namespace

LossInfo reverse_kl_loss() {
  return {"reverse_kl", "T^2 KL(student || teacher)", LossNeeds::distributions, row};
}

}  // namespace attar::distill
