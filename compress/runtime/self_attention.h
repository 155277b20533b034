// The half of a block with softmax attention: projections, norms of the heads, rotary embedding,
// gates.
#pragma once

#include <cstdint>
#include <span>

#include "compress/architecture/model_spec.h"
#include "compress/runtime/kv_cache.h"
#include "compress/runtime/linears.h"
#include "compress/runtime/norm.h"
#include "compress/runtime/rope.h"

namespace attar {

class SelfAttention {
 public:
  SelfAttention() = default;
  SelfAttention(const AttentionSpec& spec, const LinearLoader& load, const WeightSource& weights);

  uint64_t bytes() const;
  /// x [count, hidden] of the positions after those in `cache`, which grows -> what the output
  /// projection reads, mixed [count, heads · head_dim]. `rope` may be null. With `lengths`: whole
  /// sequences one after the other, each for itself; the cache stays.
  void mix(const float* x, int64_t count, KvCache& cache, const RopeTable* rope, float* mixed,
           Activations activations, const LinearObserver& observer,
           std::span<const int64_t> lengths = {}) const;
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
