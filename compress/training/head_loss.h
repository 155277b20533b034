// From the last hidden states to a loss over the vocabulary and its gradient, a few positions at a
// time: the logits of a whole batch (positions × vocabulary) never exist.
#pragma once

#include <span>
#include <vector>

#include "compress/model/trainable_model.h"
#include "compress/training/row_loss.h"

namespace attar {

struct HeadLoss {
  std::vector<double> parts;  // summed over the positions, unweighted
  at::Tensor gradient;        // of the hidden states, in their type; undefined unless asked for
};

/// What the loss compares with besides the labels: a teacher that was run, what was kept of one, or
/// nothing.
struct LossTarget {
  const TrainableModel* model = nullptr;
  at::Tensor hidden = {};             // the teacher's, [rows, width']
  std::span<const TopRow> kept = {};  // [rows]
};

/// hidden [rows, width] of a causal model (no graph), labels [rows]. With `gradient`, scale · ∂(Σ
/// loss)/∂ is added to the head's weights (unless frozen) and returned for `hidden`.
HeadLoss head_loss(const TrainableModel& model, const at::Tensor& hidden, const LossTarget& target,
                   const at::Tensor& labels, const RowLoss& loss, double scale, bool gradient);

}  // namespace attar
