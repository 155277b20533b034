#include "compress/runtime/block.h"

#include "compress/runtime/attention.h"
#include "compress/runtime/mlp.h"
#include "compress/runtime/norm.h"

namespace attar {

struct Block::Weights {
  BlockSpec spec;
  int64_t hidden;
  Norm attention_norm, mlp_norm, q_norm, k_norm;
  Linear q, k, v, o;
  Mlp mlp;
};

Block::Block(const ModelSpec& spec, int64_t index, const WeightSource& weights,
             const std::map<std::string, Weight>& replaced) {
  const BlockSpec& block = spec.blocks[static_cast<size_t>(index)];
  const auto linear = [&](const LinearSpec& part) {
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
      .mlp = Mlp(block.mlp, linear),
  });
}

uint64_t Block::bytes() const {
  const Weights& w = *weights_;
  uint64_t total = w.mlp.bytes();
  for (const Norm* norm : {&w.attention_norm, &w.mlp_norm, &w.q_norm, &w.k_norm})
    total += norm->bytes();
  for (const Linear* linear : {&w.q, &w.k, &w.v, &w.o}) total += linear->bytes();
  return total;
}

void Block::forward(float* hidden, int64_t count, BlockState* state, const RopeTable* rope,
                    Activations activations, const LinearObserver& observer) const {
  const Weights& w = *weights_;
  const AttentionSpec& attention = w.spec.attention;
  const int64_t q_width = attention.heads * attention.head_dim;
  const int64_t kv_width = attention.kv_heads * attention.head_dim;
  BlockState own;
  KvCache& cache = (state == nullptr ? own : *state).kv;
  const int64_t start = cache.length();

  const Buffer normed = buffer(count, w.hidden);
  {
    const Buffer q = buffer(count, q_width), k = buffer(count, kv_width),
                 v = buffer(count, kv_width), mixed = buffer(count, q_width);
    w.attention_norm.apply(hidden, count, normed.get());
    multiply(normed.get(), count, {{w.q, q.get()}, {w.k, k.get()}, {w.v, v.get()}}, activations,
             observer);
    if (w.q_norm.present()) w.q_norm.apply(q.get(), count * attention.heads, q.get());
    if (w.k_norm.present()) w.k_norm.apply(k.get(), count * attention.kv_heads, k.get());
    if (rope != nullptr) {
      rope->rotate(q.get(), count, attention.heads, attention.head_dim, start);
      rope->rotate(k.get(), count, attention.kv_heads, attention.head_dim, start);
    }
    cache.append(k.get(), v.get(), count, attention.kv_heads, attention.head_dim);
    attend(attention, cache, q.get(), count, mixed.get());
    multiply(mixed.get(), count, {{w.o, normed.get()}}, activations, observer);
    add(hidden, normed.get(), count * w.hidden);
  }
  w.mlp_norm.apply(hidden, count, normed.get());
  w.mlp.forward(normed.get(), count, normed.get(), activations, observer);
  add(hidden, normed.get(), count * w.hidden);
}

}  // namespace attar
