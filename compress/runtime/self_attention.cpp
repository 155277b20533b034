#include "compress/runtime/self_attention.h"

#include <algorithm>
#include <cmath>

#include "compress/runtime/attention.h"
#include "compress/runtime/block.h"

namespace attar {
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

SelfAttention::SelfAttention(const AttentionSpec& spec, const LinearLoader& load,
                             const WeightSource& weights)
    : spec_(spec),
      q_(load(spec.q)),
      k_(load(spec.k)),
      v_(load(spec.v)),
      o_(load(spec.o)),
      q_norm_(spec.q_norm, spec.head_dim, weights),
      k_norm_(spec.k_norm, spec.head_dim, weights),
      o_norm_(spec.o_norm, spec.heads * spec.head_dim, weights) {}

uint64_t SelfAttention::bytes() const {
  return q_.bytes() + k_.bytes() + v_.bytes() + o_.bytes() + q_norm_.bytes() + k_norm_.bytes() +
         o_norm_.bytes();
}

void SelfAttention::mix(const float* x, int64_t count, BlockState& state, const RopeTable* rope,
                        float* mixed, Activations activations,
                        const LinearObserver& observer) const {
  const int64_t width = spec_.heads * spec_.head_dim, kv_width = spec_.kv_heads * spec_.head_dim;
  const Buffer q = buffer(count, spec_.q.out), k = buffer(count, kv_width),
               v = buffer(count, kv_width);
  multiply(x, count, {{q_, q.get()}, {k_, k.get()}, {v_, v.get()}}, activations, observer);
  const Buffer gates = spec_.gated ? split_gates(q.get(), count, spec_) : nullptr;
  if (q_norm_.present()) q_norm_.apply(q.get(), count * spec_.heads, q.get());
  if (k_norm_.present()) k_norm_.apply(k.get(), count * spec_.kv_heads, k.get());
  const auto read_on = [&](KvCache& cache, int64_t row, int64_t rows) {
    float *own_q = q.get() + row * width, *own_k = k.get() + row * kv_width;
    if (rope != nullptr) {
      rope->rotate(own_q, rows, spec_.heads, spec_.head_dim, cache.length());
      rope->rotate(own_k, rows, spec_.kv_heads, spec_.head_dim, cache.length());
    }
    cache.append(own_k, v.get() + row * kv_width, rows, spec_.kv_heads, spec_.head_dim);
    attend(spec_, cache, own_q, rows, mixed + row * width);
  };
  if (!state.lengths.empty())  // encoders, which have no rotary embedding
    attend_each(spec_, state.lengths, q.get(), k.get(), v.get(), mixed);
  else if (state.sequences.empty())
    read_on(state.kv, 0, count);
  else
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        read_on(state.sequences[static_cast<size_t>(row)]->kv, row, 1);
    });
  if (gates) apply_gates(mixed, gates.get(), count * width);
  if (o_norm_.present()) o_norm_.apply(mixed, count, mixed);
}

}  // namespace attar
