#include "compress/runtime/block.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "compress/base/threads.h"
#include "compress/kernels/kernel_table.h"
#include "compress/runtime/attention.h"
#include "compress/runtime/load.h"
#include "compress/runtime/norm.h"

namespace attar {

struct Block::Weights {
  BlockSpec spec;
  int64_t hidden;
  Norm attention_norm, mlp_norm, q_norm, k_norm;
  Linear q, k, v, o, gate, up, down;
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
      .gate = block.mlp.gated() ? linear(block.mlp.gate) : Linear{},
      .up = linear(block.mlp.up),
      .down = linear(block.mlp.down),
  });
}

uint64_t Block::bytes() const {
  const Weights& w = *weights_;
  uint64_t total = 0;
  for (const Norm* norm : {&w.attention_norm, &w.mlp_norm, &w.q_norm, &w.k_norm})
    total += norm->bytes();
  for (const Linear* linear : {&w.q, &w.k, &w.v, &w.o, &w.up, &w.down}) total += linear->bytes();
  return total + (w.spec.mlp.gated() ? w.gate.bytes() : 0);
}

namespace {

/// Linear layers that read the same x [rows, in].
struct Reader {
  const Linear& linear;
  float* y;
};
void multiply(const float* x, int64_t rows, std::initializer_list<Reader> readers,
              Activations activations, const LinearObserver& observer) {
  std::vector<Product> products;
  for (const auto& reader : readers) {
    if (observer) observer(reader.linear.spec, x, rows);
    products.push_back({&reader.linear.weight, reader.y});
  }
  matmul(x, rows, products, activations);
  for (const auto& reader : readers) reader.linear.add_bias(reader.y, rows);
}

/// Splits `count` values among the threads when there are enough of them.
template <class F>
void for_values(int64_t count, F f) {
  constexpr int64_t kGrain = 1 << 13;
  parallel_for(count, kGrain, f);
}

void add(float* to, const float* from, int64_t count) {
  for_values(count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] += from[i];
  });
}

/// gate = act(gate) · up; up == nullptr: gate = act(gate).
void activate(Activation activation, float* gate, const float* up, int64_t count) {
  for_values(count, [&](int64_t begin, int64_t end) {
    std::vector<float> ones;
    if (up == nullptr) ones.assign(static_cast<size_t>(end - begin), 1.0f);
    const float* factor = up == nullptr ? ones.data() : up + begin;
    float* at = gate + begin;
    const int64_t n = end - begin;
    switch (activation) {
      case Activation::silu:
        return kernels().silu_product(at, factor, at, n);
      case Activation::gelu_tanh:
        return kernels().gelu_tanh_product(at, factor, at, n);
      case Activation::gelu_erf:
        for (int64_t i = 0; i < n; ++i) {
          const double x = static_cast<double>(at[i]);
          at[i] = static_cast<float>(0.5 * x * (1 + std::erf(x / std::numbers::sqrt2))) * factor[i];
        }
        return;
      case Activation::relu:
        for (int64_t i = 0; i < n; ++i) at[i] = (at[i] > 0 ? at[i] : 0) * factor[i];
        return;
      case Activation::relu_squared:
        for (int64_t i = 0; i < n; ++i) at[i] = (at[i] > 0 ? at[i] * at[i] : 0) * factor[i];
        return;
    }
  });
}

using Buffer = std::unique_ptr<float[]>;
Buffer buffer(int64_t rows, int64_t cols) {
  return std::make_unique_for_overwrite<float[]>(static_cast<size_t>(rows * cols));
}

}  // namespace

void Block::forward(float* hidden, int64_t count, KvCache* cache, const RopeTable* rope,
                    Activations activations, const LinearObserver& observer) const {
  const Weights& w = *weights_;
  const AttentionSpec& attention = w.spec.attention;
  const int64_t q_width = attention.heads * attention.head_dim;
  const int64_t kv_width = attention.kv_heads * attention.head_dim;
  KvCache own;
  if (cache == nullptr) cache = &own;
  const int64_t start = cache->length();

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
    cache->append(k.get(), v.get(), count, attention.kv_heads, attention.head_dim);
    attend(attention, *cache, q.get(), count, mixed.get());
    multiply(mixed.get(), count, {{w.o, normed.get()}}, activations, observer);
    add(hidden, normed.get(), count * w.hidden);
  }
  w.mlp_norm.apply(hidden, count, normed.get());
  const int64_t width = w.spec.mlp.width;
  const Buffer up = buffer(count, width);
  if (w.spec.mlp.gated()) {
    const Buffer gate = buffer(count, width);
    multiply(normed.get(), count, {{w.gate, gate.get()}, {w.up, up.get()}}, activations, observer);
    activate(w.spec.mlp.activation, gate.get(), up.get(), count * width);
    multiply(gate.get(), count, {{w.down, normed.get()}}, activations, observer);
  } else {
    multiply(normed.get(), count, {{w.up, up.get()}}, activations, observer);
    activate(w.spec.mlp.activation, up.get(), nullptr, count * width);
    multiply(up.get(), count, {{w.down, normed.get()}}, activations, observer);
  }
  add(hidden, normed.get(), count * w.hidden);
}

}  // namespace attar
