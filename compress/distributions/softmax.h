// What a row of logits says, in float64: the numbers behind perplexity, KL and top-1 agreement.
//
// Every value has the same bytes on every instruction set: 16 partial sums, each over every 16th
// element, added in a fixed order, no fused steps.
#pragma once

#include <cstdint>

namespace attar {

/// A row as a distribution: log p(i) = x(i) − log_sum.
struct RowSummary {
  float largest = 0;
  int64_t argmax = 0;  // of the lowest index among equals
  double sum = 0;      // Σ exp(x − largest)
  double log_sum = 0;  // log Σ exp(x)
};

/// `x` [n], finite, n ≥ 1.
RowSummary summarize_row(const float* x, int64_t n);

/// Σ exp(factor · (x − largest)) over x [n], with 0 < factor and no x above `largest`; an element
/// more than 87.3 / factor below counts as exp(−87.3).
double sum_of_exponentials(const float* x, int64_t n, float largest, float factor);

/// KL(p ‖ q) = Σ p (log p − log q) in nats, of two rows [n] and their summaries. Exactly 0 for
/// equal rows.
double kl_divergence(const float* p, const RowSummary& p_summary, const float* q,
                     const RowSummary& q_summary, int64_t n);

}  // namespace attar
