// 1 − cos(s, t) of an embedder's vectors (Reimers and Gurevych: Making Monolingual Sentence
// Embeddings Multilingual, 2020, teach with mean squares; vectors that are compared by their cosine
// need the direction alone).
#include <algorithm>
#include <cmath>

#include "distill/losses.h"

namespace attar::distill {
namespace {

// ∂/∂s = −(t / |t| − cos · s / |s|) / |s|.
double row(const LossRow& r, float weight, float* grad) {
  constexpr double kSmallest = 1e-12;
  double dot = 0, ss = 0, tt = 0;
  for (int64_t i = 0; i < r.vocab; ++i) {
    const double s = static_cast<double>(r.student[i]), t = static_cast<double>(r.teacher[i]);
    dot += s * t;
    ss += s * s;
    tt += t * t;
  }
  const double s_size = std::max(std::sqrt(ss), kSmallest);
  const double t_size = std::max(std::sqrt(tt), kSmallest);
  const double cosine = dot / (s_size * t_size);
  for (int64_t i = 0; i < r.vocab; ++i) {
    const double s = static_cast<double>(r.student[i]), t = static_cast<double>(r.teacher[i]);
    grad[i] -= weight * static_cast<float>((t / t_size - cosine * s / s_size) / s_size);
  }
  return 1 - cosine;
}

}  // namespace

LossInfo cosine_loss() {
  return {"cosine", "1 − cosine of an embedder's vectors", LossNeeds::vectors, row};
}

}  // namespace attar::distill
