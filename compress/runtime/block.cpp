#include "compress/runtime/block.h"

#include <cmath>
#include <optional>

#include "compress/runtime/attention.h"
#include "compress/runtime/mlp.h"
#include "compress/runtime/moe.h"
#include "compress/runtime/norm.h"

namespace attar {

struct Block::Weights {
  BlockSpec spec;
  int64_t hidden;
  Norm attention_norm, mlp_norm, q_norm, k_norm;
  Linear q, k, v, o;
  std::optional<DeltaNet> delta_net;
  Mlp mlp;
  std::optional<Moe> moe;
};

Block::Block(const ModelSpec& spec, int64_t index, const WeightSource& weights,
             const std::map<std::string, Weight>& replaced) {
  const BlockSpec& block = spec.blocks[static_cast<size_t>(index)];
  const auto linear = [&](const LinearSpec& part) {
    if (part.weight.empty()) return Linear{};
    const auto found = replaced.find(part.module());
    return load_linear(part, weights, found == replaced.end() ? nullptr : &found->second);
  };
  const AttentionSpec& attention = block.attention;
  weights_ = std::make_shared<const Weights>(Weights{
      .spec = block,
      .hidden = spec.hidden,
      .attention_norm = Norm(block.attention_norm, spec.hidden, weights),
      .mlp_norm = Norm(block.mlp_norm, spec.hidden, weights),
      .q_norm = Norm(attention.q_norm, attention.head_dim, weights),
      .k_norm = Norm(attention.k_norm, attention.head_dim, weights),
      .q = linear(attention.q),
      .k = linear(attention.k),
      .v = linear(attention.v),
      .o = linear(attention.o),
      .delta_net = block.delta_net ? std::make_optional<DeltaNet>(*block.delta_net, weights, linear)
                                   : std::nullopt,
      .mlp = block.moe ? Mlp() : Mlp(block.mlp, linear),
      .moe = block.moe ? std::make_optional<Moe>(*block.moe, linear) : std::nullopt,
  });
}

uint64_t Block::bytes() const {
  const Weights& w = *weights_;
  uint64_t total = w.moe ? w.moe->bytes() : w.mlp.bytes();
  for (const Norm* norm : {&w.attention_norm, &w.mlp_norm, &w.q_norm, &w.k_norm})
    total += norm->bytes();
  if (w.delta_net) return total + w.delta_net->bytes();
  for (const Linear* linear : {&w.q, &w.k, &w.v, &w.o}) total += linear->bytes();
  return total;
}

namespace {

/// q [count, heads, 2 · head_dim] with [query, gate] per head: moves the queries together, [count,
/// heads, head_dim], and returns the gates, alike.
Buffer split_gates(float* q, int64_t count, const AttentionSpec& attention) {
  const int64_t dims = attention.head_dim, heads = count * attention.heads;
  Buffer gates = buffer(heads, dims);
  for (int64_t head = 0; head < heads; ++head) {
    std::copy_n(q + (2 * head + 1) * dims, dims, gates.get() + head * dims);
    std::copy_n(q + 2 * head * dims, dims, q + head * dims);
  }
  return gates;
}

/// x *= sigmoid(gates)
void apply_gates(float* x, const float* gates, int64_t count) {
  for_values(count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      x[i] *= static_cast<float>(1 / (1 + std::exp(-static_cast<double>(gates[i]))));
  });
}

}  // namespace

void Block::forward(float* hidden, int64_t count, BlockState* state, const RopeTable* rope,
                    Activations activations, const LinearObserver& observer) const {
  const Weights& w = *weights_;
  const AttentionSpec& attention = w.spec.attention;
  const int64_t q_width = attention.heads * attention.head_dim;
  const int64_t kv_width = attention.kv_heads * attention.head_dim;
  BlockState own;
  if (state == nullptr) state = &own;
  KvCache& cache = state->kv;
  const int64_t start = cache.length();

  const Buffer normed = buffer(count, w.hidden);
  if (w.delta_net) {
    w.attention_norm.apply(hidden, count, normed.get());
    const Linear& output = w.delta_net->output();
    const Buffer mixed = buffer(count, output.spec.in);
    w.delta_net->mix(normed.get(), count, state->delta, mixed.get(), activations, observer);
    multiply(mixed.get(), count, {{output, normed.get()}}, activations, observer);
    add(hidden, normed.get(), count * w.hidden);
  } else {
    const Buffer q = buffer(count, attention.q.out), k = buffer(count, kv_width),
                 v = buffer(count, kv_width), mixed = buffer(count, q_width);
    w.attention_norm.apply(hidden, count, normed.get());
    multiply(normed.get(), count, {{w.q, q.get()}, {w.k, k.get()}, {w.v, v.get()}}, activations,
             observer);
    const Buffer gates = attention.gated ? split_gates(q.get(), count, attention) : nullptr;
    if (w.q_norm.present()) w.q_norm.apply(q.get(), count * attention.heads, q.get());
    if (w.k_norm.present()) w.k_norm.apply(k.get(), count * attention.kv_heads, k.get());
    if (rope != nullptr) {
      rope->rotate(q.get(), count, attention.heads, attention.head_dim, start);
      rope->rotate(k.get(), count, attention.kv_heads, attention.head_dim, start);
    }
    cache.append(k.get(), v.get(), count, attention.kv_heads, attention.head_dim);
    attend(attention, cache, q.get(), count, mixed.get());
    if (gates) apply_gates(mixed.get(), gates.get(), count * q_width);
    multiply(mixed.get(), count, {{w.o, normed.get()}}, activations, observer);
    add(hidden, normed.get(), count * w.hidden);
  }
  w.mlp_norm.apply(hidden, count, normed.get());
  if (w.moe) {
    const Buffer chosen = buffer(count, w.hidden);
    w.moe->forward(normed.get(), count, chosen.get(), activations, observer);
    add(hidden, chosen.get(), count * w.hidden);
    return;
  }
  w.mlp.forward(normed.get(), count, normed.get(), activations, observer);
  add(hidden, normed.get(), count * w.hidden);
}

}  // namespace attar
