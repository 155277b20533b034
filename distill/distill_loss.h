// The weighted sum of distillation losses that a stage minimizes.
#pragma once

#include <string>
#include <vector>

#include "compress/training/row_loss.h"
#include "distill/options.h"

namespace attar::distill {

class DistillLoss : public RowLoss {
 public:
  /// Losses of weight 0 are not computed.
  explicit DistillLoss(const DistillOptions& options);

  std::vector<std::string> parts() const override;
  std::vector<double> weights() const override;
  void row(const LossInput& input, float scale, float* grad, double* values) const override;

  /// False when only the data's labels are used.
  bool needs_teacher() const;
  /// Whether the data's labels are used at all.
  bool needs_label() const { return label_; }
  /// bad_input naming a loss that does not fit: `vectors` are an embedder's outputs, other models
  /// have logits. `where` is the key's place.
  void require_fit(bool vectors, const std::string& where) const;

 private:
  struct Term {
    const LossInfo* info;
    double weight;
  };
  std::vector<Term> terms_;
  float temperature_, jsd_beta_, skew_alpha_;
  bool label_ = false, distributions_ = false;
};

}  // namespace attar::distill
