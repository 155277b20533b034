#include "compress/runtime/block.h"

#include <optional>

#include "compress/runtime/mlp.h"
#include "compress/runtime/moe.h"
#include "compress/runtime/norm.h"
#include "compress/runtime/self_attention.h"

namespace attar {

struct Block::Weights {
  BlockSpec spec;
  int64_t hidden;
  Norm attention_norm, mlp_norm, post_attention_norm, post_mlp_norm;
  std::optional<SelfAttention> attention;
  std::optional<DeltaNet> delta_net;
  std::optional<Mlp> mlp;
  std::optional<Moe> moe;

  /// The block's first half without its norms: x [count, hidden] -> y, which may be x.
  void first_half(const float* x, int64_t count, BlockState& state, const RopeTable* rope, float* y,
                  Activations activations, const LinearObserver& observer) const {
    if (!delta_net)
      return attention->forward(x, count, state.kv, rope, y, activations, observer, state.lengths);
    const Linear& output = delta_net->output();
    const Buffer mixed = buffer(count, output.spec.in);
    delta_net->mix(x, count, state.delta, mixed.get(), activations, observer);
    multiply(mixed.get(), count, {{output, y}}, activations, observer);
  }

  /// The second half: x [count, hidden] -> y, which is not x.
  void second_half(const float* x, int64_t count, float* y, Activations activations,
                   const LinearObserver& observer) const {
    if (moe)
      moe->forward(x, count, y, activations, observer);
    else
      mlp->forward(x, count, y, activations, observer);
  }
};

Block::Block(const ModelSpec& spec, int64_t index, const WeightSource& weights,
             const std::map<std::string, Weight>& replaced) {
  const BlockSpec& block = spec.blocks[static_cast<size_t>(index)];
  const auto linear = [&](const LinearSpec& part) {
    if (part.weight.empty()) return Linear{};
    const auto found = replaced.find(part.module());
    return load_linear(part, weights, found == replaced.end() ? nullptr : &found->second);
  };
  const auto norm = [&](const NormSpec& part) { return Norm(part, spec.hidden, weights); };
  auto parts = std::make_shared<Weights>();
  parts->spec = block;
  parts->hidden = spec.hidden;
  parts->attention_norm = norm(block.attention_norm);
  parts->mlp_norm = norm(block.mlp_norm);
  parts->post_attention_norm = norm(block.post_attention_norm);
  parts->post_mlp_norm = norm(block.post_mlp_norm);
  if (block.delta_net)
    parts->delta_net.emplace(*block.delta_net, weights, linear);
  else
    parts->attention.emplace(block.attention, linear, weights);
  if (block.moe)
    parts->moe.emplace(*block.moe, linear);
  else
    parts->mlp.emplace(block.mlp, linear, Norm(block.mlp.down_norm, block.mlp.width, weights));
  weights_ = std::move(parts);
}

uint64_t Block::bytes() const {
  const Weights& w = *weights_;
  uint64_t total = w.moe ? w.moe->bytes() : w.mlp->bytes();
  for (const Norm* norm :
       {&w.attention_norm, &w.mlp_norm, &w.post_attention_norm, &w.post_mlp_norm})
    total += norm->bytes();
  return total + (w.delta_net ? w.delta_net->bytes() : w.attention->bytes());
}

void Block::forward(float* hidden, int64_t count, BlockState* state, const RopeTable* rope,
                    Activations activations, const LinearObserver& observer) const {
  const Weights& w = *weights_;
  BlockState own;
  const int64_t values = count * w.hidden;
  const Buffer x = buffer(count, w.hidden), y = buffer(count, w.hidden);
  if (w.spec.residual == Residual::post_norm) {
    w.first_half(hidden, count, state == nullptr ? own : *state, rope, y.get(), activations,
                 observer);
    add(hidden, y.get(), values);
    w.attention_norm.apply(hidden, count, hidden);
    w.second_half(hidden, count, y.get(), activations, observer);
    add(hidden, y.get(), values);
    return w.mlp_norm.apply(hidden, count, hidden);
  }
  w.attention_norm.apply(hidden, count, x.get());
  w.first_half(x.get(), count, state == nullptr ? own : *state, rope, y.get(), activations,
               observer);
  if (w.post_attention_norm.present()) w.post_attention_norm.apply(y.get(), count, y.get());
  // The second half reads what the first leaves or, in parallel, what the first read.
  const bool parallel = w.spec.residual == Residual::parallel;
  if (parallel) w.mlp_norm.apply(hidden, count, x.get());
  add(hidden, y.get(), values);
  if (!parallel) w.mlp_norm.apply(hidden, count, x.get());
  w.second_half(x.get(), count, y.get(), activations, observer);
  if (w.post_mlp_norm.present()) w.post_mlp_norm.apply(y.get(), count, y.get());
  add(hidden, y.get(), values);
}

}  // namespace attar
