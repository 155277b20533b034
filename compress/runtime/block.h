// One transformer block on the kernels: enough to run a model, or to stream through it a block at a
// time (calibration, pruning statistics, evaluation) with only that block's weights in memory.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "compress/architecture/model_spec.h"
#include "compress/formats/weights.h"
#include "compress/runtime/delta_net.h"
#include "compress/runtime/kv_cache.h"
#include "compress/runtime/linears.h"
#include "compress/runtime/rope.h"

namespace attar {

/// What a block remembers of the positions before.
struct BlockState {
  KvCache kv;
  DeltaState delta;
  /// Not empty: what comes are whole sequences of these lengths, one after the other, and each
  /// attends to itself only (without rotary embedding); nothing is remembered. A sequence's bytes
  /// are those that it has alone.
  std::span<const int64_t> lengths;
  /// Not empty: every row that comes is the next position of another sequence, and these are their
  /// states, a row's each. A sequence's bytes are those that it has alone.
  std::span<BlockState* const> sequences;
};

/// A block's two halves. Each mixes its normed input into what its output projection reads
/// (attention for o, the gated activations for down) and projects that back onto the hidden states.
enum class Half { attention, mlp };

class Block {
 public:
  /// Loads, checks (finite values) and packs block `index`'s weights. With `replaced`, a module
  /// named there ("model.layers.0.mlp.up_proj") uses that weight instead (a freshly quantized one,
  /// say). With `cache`, packed matrices come from there.
  Block(const ModelSpec& spec, int64_t index, const WeightSource& weights,
        const std::map<std::string, Weight>& replaced = {}, PackedCache* cache = nullptr);

  /// hidden [count, hidden] of consecutive positions of one sequence, updated in place. The state
  /// holds the positions before them and moves on by count; nullptr: the sequence starts here and
  /// nothing is kept. The bytes do not depend on how a sequence is cut into calls (exact
  /// activations and int8 alike).
  void forward(float* hidden, int64_t count, BlockState* state, const RopeTable* rope,
               Activations activations, const LinearObserver& observer = {}) const;

  /// This block with other weights for some modules; the rest is shared.
  Block with(const std::map<std::string, Weight>& replaced) const;

  // forward() a step at a time, for whoever changes weights between the steps: mix(attention),
  // project(attention), mix(mlp), project(mlp) give its bytes; in a parallel block both halves are
  // mixed before the first is projected.

  /// What the first linear layers of a half read for hidden [count, hidden]: [count, hidden].
  void normed(Half half, const float* hidden, int64_t count, float* out) const;
  /// What the output projection of a half reads: out [count, mixed_width(half)].
  void mix(Half half, const float* hidden, int64_t count, BlockState* state, const RopeTable* rope,
           Activations activations, float* out, const LinearObserver& observer = {}) const;
  /// hidden [count, hidden] += the projection of mixed [count, mixed_width(half)], with the norms
  /// that belong there.
  void project(Half half, const float* mixed, int64_t count, Activations activations, float* hidden,
               const LinearObserver& observer = {}) const;
  int64_t mixed_width(Half half) const;
  bool parallel() const;
  /// False for experts, whose output projections are many: mix() gives their result, and project()
  /// only adds it.
  bool splits(Half half) const;

  uint64_t bytes() const;
  uint64_t step_bytes() const;  // what a step of one sequence reads of those

 private:
  void mix_delta_net(const float* x, int64_t count, BlockState& state, Activations activations,
                     float* out, const LinearObserver& observer) const;

  struct Weights;
  std::shared_ptr<const Weights> weights_;
};

}  // namespace attar
