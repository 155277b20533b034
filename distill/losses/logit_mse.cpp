// Mean square between the logits (Ba, Caruana: Do Deep Nets Really Need to be Deep?, 2014), without
// T.
#include "compress/model/vector_math.h"
#include "distill/losses.h"

namespace attar::distill {
namespace {

// ∂/∂s = 2 (s − t) / V.
ATTAR_VECTOR_CLONES double row(const LossRow& r, float weight, float* grad) {
  const float *s = r.student, *t = r.teacher;
  const auto vocab = static_cast<float>(r.vocab);
  const float factor = 2.0f * weight / vocab;
  const double sum = lane_sum(
      r.vocab, [=](int64_t i) ATTAR_INLINE_LAMBDA { return (s[i] - t[i]) * (s[i] - t[i]); });
  for (int64_t i = 0; i < r.vocab; ++i) grad[i] += factor * (s[i] - t[i]);
  return sum / static_cast<double>(r.vocab);
}

}  // namespace

LossInfo logit_mse_loss() {
  return {"logit_mse", "mean squared difference of the logits", LossNeeds::logits, row};
}

}  // namespace attar::distill
