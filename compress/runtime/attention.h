// Causal attention with grouped queries and an optional sliding window.
#pragma once

#include <cstdint>

#include "compress/architecture/model_spec.h"
#include "compress/runtime/kv_cache.h"

namespace attar {

/// out [count, heads · head_dim] for the last `count` positions of the cache; queries of the same
/// shape, rotated. Every query's numbers are the same however many are asked for at once.
void attend(const AttentionSpec& spec, const KvCache& cache, const float* queries, int64_t count,
            float* out);

}  // namespace attar
