// What a spec means, in float64, written out with LibTorch's own operations and their autograd:
// slow and plain, to compare the trainable model and each of its gradients with.
#pragma once

#include <map>
#include <string>

#include "compress/model/trainable_model.h"

namespace attar {

class ReferenceModel {
 public:
  /// With the store's values as leaves.
  ReferenceModel(const ModelSpec& spec, const ParameterStore& store);

  /// Causal: logits [B, T, vocab]; encoders: logits [B, labels] or pooled vectors [B, hidden].
  at::Tensor output(const ModelInput& input) const;
  const at::Tensor& leaf(const std::string& name) const { return leaves_.at(name); }

 private:
  at::Tensor linear(const at::Tensor& x, const LinearSpec& spec) const;
  at::Tensor norm(const at::Tensor& x, const NormSpec& spec) const;
  at::Tensor rotate(const at::Tensor& x, const RopeSpec& spec) const;
  at::Tensor attention(const at::Tensor& y, const AttentionSpec& spec,
                       const at::Tensor& mask) const;
  at::Tensor delta_net(const at::Tensor& y, const DeltaNetSpec& spec) const;
  at::Tensor mlp(const at::Tensor& y, const MlpSpec& spec) const;
  at::Tensor moe(const at::Tensor& y, const MoeSpec& spec) const;
  at::Tensor block(const at::Tensor& h, const BlockSpec& spec, const at::Tensor& mask) const;
  at::Tensor embedded(const ModelInput& input) const;

  const ModelSpec& spec_;
  std::map<std::string, at::Tensor> leaves_;
};

}  // namespace attar
