// Cross-entropy with the id that follows, at T = 1: the usual language-model loss.
#include "compress/model/vector_math.h"
#include "distill/losses.h"

namespace attar::distill {
namespace {

// ∂/∂s = softmax(s) − onehot(label).
ATTAR_VECTOR_CLONES double row(const LossRow& r, float weight, float* grad) {
  const float* q = r.q1;
  for (int64_t i = 0; i < r.vocab; ++i) grad[i] += weight * q[i];
  grad[r.label] -= weight;
  return -static_cast<double>(r.log_q1[r.label]);
}

}  // namespace

LossInfo ce_loss() {
  return {"ce", "cross-entropy with the data", LossNeeds::label, row};
}

}  // namespace attar::distill
