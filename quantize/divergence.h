// How far one model's predictions are from another's.
#pragma once

#include <cstdint>
#include <span>

#include "compress/runtime/hidden_stream.h"

namespace attar {

/// Means over all predictions of ids after the first of each window.
struct Divergence {
  double kl = 0;                        // KL(reference ‖ candidate), nats
  double reference = 0, candidate = 0;  // log-probabilities of the ids that follow
  int64_t count = 0;
};

/// Compares last hidden states of the same windows of `ids`. Summed in the order of positions.
Divergence compare_predictions(const OutputHead& reference, const HiddenStream& before,
                               const OutputHead& candidate, const HiddenStream& after,
                               std::span<const int32_t> ids, int64_t vocab);

}  // namespace attar
