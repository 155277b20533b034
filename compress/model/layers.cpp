#include "compress/model/layers.h"

#include <tuple>
#include <utility>

#include "compress/base/random.h"

namespace attar {
namespace {

using Linears = std::vector<const LinearSpec*>;

/// In groups that agree about having a bias.
std::vector<Linears> grouped(const Linears& linears) {
  std::vector<Linears> groups;
  for (const LinearSpec* linear : linears)
    if (!groups.empty() && groups.back().front()->bias.empty() == linear->bias.empty())
      groups.back().push_back(linear);
    else
      groups.push_back({linear});
  return groups;
}

}  // namespace

at::Tensor Projection::forward(const at::Tensor& x, const Pass& pass, uint64_t at) const {
  std::vector<at::Tensor> parts;
  const bool drops = pass.seed && pass.dropout > 0;
  for (const auto& group : groups_) {
    const uint64_t seed = (pass.seed ? pass.seed + at : 0) + parts.size();
    parts.push_back(group->forward(x, drops ? pass.dropout : 0, Random(seed).next()));
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts, 1);
}

void Declaration::parameter(ops::Parameter& to, const std::string& name,
                            std::vector<int64_t> shape) {
  if (name.empty()) return;
  const int64_t index = store_.add(name, std::move(shape));
  after_.push_back([this, &to, index] { to = {store_.value(index), store_.gradient(index)}; });
}

void Declaration::norm(ops::Norm& to, const NormSpec& spec, int64_t width) {
  to.spec = spec;
  if (!to) return;
  parameter(to.weight, spec.weight, {width});
  parameter(to.bias, spec.bias, {width});
}

int64_t Declaration::declare(const Linears& linears, std::string LinearSpec::*name) {
  int64_t first = -1;
  for (const LinearSpec* linear : linears) {
    if ((linear->*name).empty()) continue;
    std::vector<int64_t> shape = {linear->out};
    if (name == &LinearSpec::weight) shape.push_back(linear->in);
    const int64_t index = store_.add(linear->*name, std::move(shape));
    if (first < 0) first = index;
  }
  return first;
}

void Declaration::projection(Projection& to, const Linears& linears, bool exact) {
  to.exact_ = exact;
  for (const Linears& group : grouped(linears)) {
    const int64_t weights = frozen_ ? -1 : declare(group, &LinearSpec::weight);
    const int64_t biases = declare(group, &LinearSpec::bias);
    after_.push_back([this, &to, group, weights, biases] {
      to.groups_.push_back(std::make_unique<LinearGroup>(group, store_, weights, biases));
    });
  }
}

void Declaration::stored_linear(std::unique_ptr<LinearGroup>& to, const LinearSpec& linear,
                                int64_t weights) {
  if (weights < 0) weights = declare({&linear}, &LinearSpec::weight);
  const int64_t biases = declare({&linear}, &LinearSpec::bias);
  after_.push_back([this, &to, &linear, weights, biases] {
    to = std::make_unique<LinearGroup>(Linears{&linear}, store_, weights, biases);
  });
}

void Declaration::finish() {
  store_.allocate(!frozen_);
  for (const auto& fill_in : after_) fill_in();
}

void AttentionLayer::declare(Declaration& declaration, const AttentionSpec& from) {
  spec = &from;
  declaration.projection(qkv, {&from.q, &from.k, &from.v});
  declaration.norm(q_norm, from.q_norm, from.head_dim);
  declaration.norm(k_norm, from.k_norm, from.head_dim);
  declaration.norm(o_norm, from.o_norm, from.heads * from.head_dim);
  declaration.projection(o, {&from.o});
}

at::Tensor AttentionLayer::forward(const at::Tensor& y, const Pass& pass) const {
  const int64_t q_width = spec->heads * spec->head_dim, k_width = spec->kv_heads * spec->head_dim;
  at::Tensor qkv_out = qkv.forward(y, pass, place::kIn), gate;
  if (spec->gated || q_norm || k_norm) {
    const int64_t q_rows = spec->gated ? 2 * q_width : q_width;
    auto parts = at::split_with_sizes(qkv_out, {q_rows, k_width, k_width}, 1);
    if (spec->gated) {
      // Each head's rows are [query, gate].
      const at::Tensor both = parts[0].reshape({-1, spec->heads, 2, spec->head_dim});
      parts[0] = both.select(2, 0).reshape({-1, q_width});
      gate = both.select(2, 1).reshape({-1, q_width});
    }
    parts[0] = ops::norm_rows(parts[0], q_norm, spec->head_dim);
    parts[1] = ops::norm_rows(parts[1], k_norm, spec->head_dim);
    qkv_out = at::cat(parts, 1);
  }
  const auto* rope = spec->rope < 0 ? nullptr : &(*pass.ropes)[static_cast<size_t>(spec->rope)];
  at::Tensor mixed =
      ops::attention(ops::split_heads(qkv_out, *spec, rope, pass.sequences), *spec, pass.lengths);
  if (gate.defined()) mixed = mixed * at::sigmoid(gate);
  return o.forward(ops::norm_rows(mixed, o_norm, q_width), pass, place::kOut);
}

void MlpLayer::declare(Declaration& declaration, const MlpSpec& from) {
  spec = &from;
  declaration.projection(up, from.gated() ? Linears{&from.gate, &from.up} : Linears{&from.up});
  declaration.norm(down_norm, from.down_norm, from.width);
  declaration.projection(down, {&from.down});
}

at::Tensor MlpLayer::forward(const at::Tensor& y, const Pass& pass, uint64_t at) const {
  const at::Tensor wide = up.forward(y, pass, at);
  const at::Tensor active =
      spec->gated() ? ops::gated(wide, spec->activation) : ops::activate(wide, spec->activation);
  return down.forward(ops::norm_rows(active, down_norm, spec->width), pass, at + 8);
}

void BlockLayer::declare(Declaration& declaration, const BlockSpec& from, int64_t hidden) {
  spec = &from;
  declaration.norm(attention_norm, from.attention_norm, hidden);
  if (from.delta_net)
    delta_net.emplace().declare(declaration, *from.delta_net);
  else
    attention.declare(declaration, from.attention);
  declaration.norm(post_attention_norm, from.post_attention_norm, hidden);
  declaration.norm(mlp_norm, from.mlp_norm, hidden);
  if (from.moe)
    moe.emplace().declare(declaration, *from.moe);
  else
    mlp.declare(declaration, from.mlp);
  declaration.norm(post_mlp_norm, from.post_mlp_norm, hidden);
}

std::vector<const Projection*> BlockLayer::projections() const {
  std::vector<const Projection*> all;
  if (delta_net)
    all = {&delta_net->qkvz, &delta_net->ba, &delta_net->out};
  else
    all = {&attention.qkv, &attention.o};
  std::vector<const MlpLayer*> mlps;
  if (!moe) mlps = {&mlp};
  if (moe) {
    all.push_back(&moe->router);
    for (const MlpLayer& expert : moe->experts) mlps.push_back(&expert);
    if (moe->shared) mlps.push_back(&*moe->shared);
  }
  for (const MlpLayer* part : mlps) all.insert(all.end(), {&part->up, &part->down});
  if (moe) all.push_back(&moe->shared_gate);
  return all;
}

at::Tensor BlockLayer::mix(const at::Tensor& y, const Pass& pass) const {
  return delta_net ? delta_net->forward(y, pass) : attention.forward(y, pass);
}

at::Tensor BlockLayer::transform(const at::Tensor& y, const Pass& pass) const {
  return moe ? moe->forward(y, pass) : mlp.forward(y, pass, place::kMlp);
}

void BlockLayer::forward(Stream& stream, const Pass& pass, at::ScalarType dtype) const {
  const int64_t hidden = stream.h.size(1);
  at::Tensor y;
  const auto normed = [&](const ops::Norm& norm) {
    std::tie(stream.h, y) = ops::add_norm(stream.h, stream.delta, norm, dtype);
    stream.delta.reset();
    return y;
  };
  switch (spec->residual) {
    case Residual::pre_norm:
      stream.delta = ops::norm_rows(mix(normed(attention_norm), pass), post_attention_norm, hidden);
      stream.delta = ops::norm_rows(transform(normed(mlp_norm), pass), post_mlp_norm, hidden);
      return;
    case Residual::parallel: {
      const at::Tensor for_mixer = normed(attention_norm), for_mlp = normed(mlp_norm);
      stream.h = stream.h + mix(for_mixer, pass);
      stream.delta = transform(for_mlp, pass);
      return;
    }
    case Residual::post_norm:
      for (const auto half : {&BlockLayer::mix, &BlockLayer::transform}) {
        const at::Tensor delta = (this->*half)(stream.h.to(dtype), pass).to(at::kFloat);
        const ops::Norm& norm = half == &BlockLayer::mix ? attention_norm : mlp_norm;
        stream.h = ops::add_norm(stream.h, delta, norm, at::kFloat).second;
      }
      return;
  }
}

}  // namespace attar
