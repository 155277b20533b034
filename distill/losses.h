// The distillation losses by name: one file each in losses/, one row each in the table of
// losses/table.cpp.
//
// A loss sees one position at a time: the student's and the teacher's logits over the vocabulary
// and their distributions p = softmax(teacher / T), q = softmax(student / T). It returns its value
// and adds its gradient, so that value and gradient cost one pass and no tensor of the vocabulary's
// size outlives a position. Losses on softened distributions carry the factor T² (Hinton et al.
// 2015), so that their gradients keep their size when T changes. Free of LibTorch.
#pragma once

#include <cstdint>
#include <span>

namespace attar::distill {

/// One position. What a loss does not ask for (LossInfo::needs) is null.
struct LossRow {
  int64_t vocab = 0;
  int64_t label = 0;                             // the id that follows
  float temperature = 1;                         // T
  float jsd_beta = 0.5f;                         // jsd: weight of p in the mixture
  float skew_alpha = 0.1f;                       // skew_kl: weight of p in the mixture
  const float* student = nullptr;                // logits [vocab]
  const float* teacher = nullptr;                // logits [vocab]
  const float *log_q1 = nullptr, *q1 = nullptr;  // student at T = 1 [vocab]
  const float *log_q = nullptr, *q = nullptr;    // student at T [vocab]
  const float *log_p = nullptr, *p = nullptr;    // teacher at T [vocab]
};

/// What of a LossRow a loss reads. With vectors, `student` and `teacher` are an embedder's,
/// [vocab].
enum class LossNeeds { label, distributions, logits, vectors };

struct LossInfo {
  const char* name;
  const char* summary;
  LossNeeds needs;
  /// Adds weight · ∂loss/∂student to grad [vocab]; returns the (unweighted) loss.
  double (*row)(const LossRow& row, float weight, float* grad);

  bool needs_teacher() const { return needs != LossNeeds::label; }
};

/// The table.
std::span<const LossInfo> losses();

// One per file of losses/.
LossInfo kl_loss();
LossInfo reverse_kl_loss();
LossInfo jsd_loss();
LossInfo skew_kl_loss();
LossInfo tv_loss();
LossInfo ce_loss();
LossInfo logit_mse_loss();
LossInfo cosine_loss();

}  // namespace attar::distill
