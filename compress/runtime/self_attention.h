// The half of a block with softmax attention: projections, norms of the heads, rotary embedding,
// gates.
#pragma once

#include <cstdint>

#include "compress/architecture/model_spec.h"
#include "compress/runtime/linears.h"
#include "compress/runtime/norm.h"
#include "compress/runtime/rope.h"

namespace attar {

struct BlockState;

class SelfAttention {
 public:
  SelfAttention() = default;
  SelfAttention(const AttentionSpec& spec, const LinearLoader& load, const WeightSource& weights);

  uint64_t bytes() const;
  /// x [count, hidden] of the positions after those in `state`, which grows -> what the output
  /// projection reads, mixed [count, heads · head_dim]. `rope` may be null.
  void mix(const float* x, int64_t count, BlockState& state, const RopeTable* rope, float* mixed,
           Activations activations, const LinearObserver& observer) const;
  const Linear& output() const { return o_; }
  /// f(layer) for each linear layer.
  template <class F>
  void for_linears(F f) {
    for (Linear* linear : {&q_, &k_, &v_, &o_}) f(*linear);
  }

 private:
  AttentionSpec spec_;
  Linear q_, k_, v_, o_;
  Norm q_norm_, k_norm_, o_norm_;
};

}  // namespace attar
