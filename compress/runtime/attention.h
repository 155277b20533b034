// Attention with grouped queries: causal with an optional sliding window, or of every position to
// every other.
#pragma once

#include <cstdint>
#include <span>

#include "compress/architecture/model_spec.h"
#include "compress/runtime/kv_cache.h"

namespace attar {

/// out [count, heads · head_dim] for the last `count` positions of the cache; queries of the same
/// shape, rotated. Every query's numbers are the same however many are asked for at once.
void attend(const AttentionSpec& spec, const KvCache& cache, const float* queries, int64_t count,
            float* out);

/// The same for whole sequences that lie one after the other, each for itself: q, k, v and out
/// [Σ lengths, …]. A sequence's numbers are those that it has alone.
void attend_each(const AttentionSpec& spec, std::span<const int64_t> lengths, const float* q,
                 const float* k, const float* v, float* out);

}  // namespace attar
