#include "compress/runtime/block.h"

#include <algorithm>
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
};

Block::Block(const ModelSpec& spec, int64_t index, const WeightSource& weights,
             const std::map<std::string, Weight>& replaced, PackedCache* cache) {
  const BlockSpec& block = spec.blocks[static_cast<size_t>(index)];
  const auto linear = [&](const LinearSpec& part) {
    if (part.weight.empty()) return Linear{};
    const auto found = replaced.find(part.module());
    return load_linear(part, weights, found == replaced.end() ? nullptr : &found->second, cache);
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

uint64_t Block::step_bytes() const {
  const auto& moe = weights_->moe;
  return moe ? bytes() - moe->bytes() + moe->step_bytes() : bytes();
}

Block Block::with(const std::map<std::string, Weight>& replaced) const {
  auto parts = std::make_shared<Weights>(*weights_);
  const auto replace = [&](Linear& linear) {
    if (linear.spec.weight.empty()) return;
    const auto found = replaced.find(linear.spec.module());
    if (found != replaced.end()) linear.replace(found->second);
  };
  if (parts->attention) parts->attention->for_linears(replace);
  if (parts->delta_net) parts->delta_net->for_linears(replace);
  if (parts->mlp) parts->mlp->for_linears(replace);
  if (parts->moe) parts->moe->for_linears(replace);
  Block block = *this;
  block.weights_ = std::move(parts);
  return block;
}

void Block::forward(float* hidden, int64_t count, BlockState* state, const RopeTable* rope,
                    Activations activations, const LinearObserver& observer) const {
  const Buffer first = buffer(count, mixed_width(Half::attention)),
               second = buffer(count, mixed_width(Half::mlp));
  mix(Half::attention, hidden, count, state, rope, activations, first.get(), observer);
  // The second half reads what the first leaves or, in parallel, what the first read.
  if (parallel()) mix(Half::mlp, hidden, count, state, rope, activations, second.get(), observer);
  project(Half::attention, first.get(), count, activations, hidden, observer);
  if (!parallel()) mix(Half::mlp, hidden, count, state, rope, activations, second.get(), observer);
  project(Half::mlp, second.get(), count, activations, hidden, observer);
}

bool Block::parallel() const {
  return weights_->spec.residual == Residual::parallel;
}

int64_t Block::mixed_width(Half half) const {
  const Weights& w = *weights_;
  if (half == Half::attention)
    return w.delta_net ? w.delta_net->output().spec.in : w.attention->output().spec.in;
  return w.moe ? w.hidden : w.mlp->spec().width;
}

bool Block::splits(Half half) const {
  return half == Half::attention || !weights_->moe;
}

void Block::normed(Half half, const float* hidden, int64_t count, float* out) const {
  const Weights& w = *weights_;
  if (w.spec.residual == Residual::post_norm)
    std::copy_n(hidden, count * w.hidden, out);
  else
    (half == Half::attention ? w.attention_norm : w.mlp_norm).apply(hidden, count, out);
}

void Block::mix(Half half, const float* hidden, int64_t count, BlockState* state,
                const RopeTable* rope, Activations activations, float* out,
                const LinearObserver& observer) const {
  const Weights& w = *weights_;
  const Buffer x = buffer(count, w.hidden);
  normed(half, hidden, count, x.get());
  BlockState own;
  if (state == nullptr) state = &own;
  if (half == Half::mlp && w.moe)
    w.moe->forward(x.get(), count, out, activations, observer);
  else if (half == Half::mlp)
    w.mlp->mix(x.get(), count, out, activations, observer);
  else if (w.delta_net)
    mix_delta_net(x.get(), count, *state, activations, out, observer);
  else
    w.attention->mix(x.get(), count, *state, rope, out, activations, observer);
}

void Block::mix_delta_net(const float* x, int64_t count, BlockState& state, Activations activations,
                          float* out, const LinearObserver& observer) const {
  const DeltaNet& net = *weights_->delta_net;
  if (state.sequences.empty()) return net.mix(x, count, state.delta, out, activations, observer);
  const int64_t width = mixed_width(Half::attention);
  for (int64_t row = 0; row < count; ++row)
    net.mix(x + row * weights_->hidden, 1, state.sequences[static_cast<size_t>(row)]->delta,
            out + row * width, activations, observer);
}

void Block::project(Half half, const float* mixed, int64_t count, Activations activations,
                    float* hidden, const LinearObserver& observer) const {
  const Weights& w = *weights_;
  const bool attention = half == Half::attention;
  const Buffer out = buffer(count, w.hidden);
  const float* result = out.get();
  if (attention)
    multiply(mixed, count,
             {{w.delta_net ? w.delta_net->output() : w.attention->output(), out.get()}},
             activations, observer);
  else if (w.moe)
    result = mixed;
  else
    w.mlp->project(mixed, count, out.get(), activations, observer);
  const Norm& post = attention ? w.post_attention_norm : w.post_mlp_norm;
  if (post.present()) {
    post.apply(result, count, out.get());
    result = out.get();
  }
  add(hidden, result, count * w.hidden);
  if (w.spec.residual == Residual::post_norm)
    (attention ? w.attention_norm : w.mlp_norm).apply(hidden, count, hidden);
}

}  // namespace attar
