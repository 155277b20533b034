// AdamW (Loshchilov, Hutter: Decoupled Weight Decay Regularization, 2019) over a store's flat
// block, with the gradient clipped to a global norm (Pascanu et al. 2013).
#pragma once

#include <cstdint>

#include "compress/model/parameters.h"

namespace attar {

struct AdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0.01;
  double clip = 1.0;  // 0 = none
};

class AdamW {
 public:
  AdamW(ParameterStore& store, const AdamWOptions& options);

  /// One step with the gradients in the store, which are zeroed; returns their norm before
  /// clipping. Nothing is changed when that norm is not finite.
  double step(double learning_rate);

  int64_t steps() const { return steps_; }
  const at::Tensor& first_moment() const { return m_; }
  const at::Tensor& second_moment() const { return v_; }
  /// Goes on from a checkpoint whose moments were copied into first_moment() and second_moment().
  void resume(int64_t steps) { steps_ = steps; }

 private:
  ParameterStore& store_;
  AdamWOptions options_;
  at::Tensor m_, v_;
  int64_t steps_ = 0;
};

}  // namespace attar
