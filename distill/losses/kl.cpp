// Forward KL: T² · KL(p ‖ q) (Hinton, Vinyals, Dean: Distilling the Knowledge in a Neural Network,
// 2015).
#include "compress/model/vector_math.h"
#include "distill/losses.h"

namespace attar::distill {
namespace {

// ∂/∂s = T · (q − p).
ATTAR_VECTOR_CLONES double row(const LossRow& r, float weight, float* grad) {
  const float *p = r.p, *q = r.q, *log_p = r.log_p, *log_q = r.log_q;
  const float t = r.temperature, factor = weight * t;
  const double kl = lane_sum(
      r.vocab, [=](int64_t i) ATTAR_INLINE_LAMBDA { return p[i] * (log_p[i] - log_q[i]); });
  for (int64_t i = 0; i < r.vocab; ++i) grad[i] += factor * (q[i] - p[i]);
  return kl * t * t;
}

}  // namespace

LossInfo kl_loss() {
  return {"kl", "T^2 KL(teacher || student)", LossNeeds::distributions, row};
}

}  // namespace attar::distill
