#include "quantize/divergence.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "compress/base/threads.h"

namespace attar {
namespace {

/// KL(p ‖ q) of two rows of logits, and log q of `next`.
struct RowScore {
  double kl = 0, reference = 0, candidate = 0;  // log-probabilities of the id that follows
};

double log_sum(const float* logits, int64_t count) {
  const float top = *std::max_element(logits, logits + count);
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(std::exp(logits[i] - top));
  return static_cast<double>(top) + std::log(sum);
}

RowScore score(const float* p, const float* q, int64_t vocab, int32_t next) {
  const double p_total = log_sum(p, vocab), q_total = log_sum(q, vocab);
  RowScore result;
  for (int64_t i = 0; i < vocab; ++i) {
    const double log_p = static_cast<double>(p[i]) - p_total;
    result.kl += std::exp(log_p) * (log_p - (static_cast<double>(q[i]) - q_total));
  }
  result.reference = static_cast<double>(p[next]) - p_total;
  result.candidate = static_cast<double>(q[next]) - q_total;
  return result;
}

}  // namespace

Divergence compare_predictions(const OutputHead& reference, const HiddenStream& before,
                               const OutputHead& candidate, const HiddenStream& after,
                               std::span<const int32_t> ids, int64_t vocab) {
  Divergence total;
  std::vector<float> p, q;
  for (int64_t w = 0; w < before.windows(); ++w) {
    const int64_t length = before.window_length(w), start = before.starts()[static_cast<size_t>(w)];
    p.resize(static_cast<size_t>(length * vocab));
    q.resize(p.size());
    reference.logits(before.window(w), length, p.data());
    candidate.logits(after.window(w), length, q.data());
    std::vector<RowScore> rows(static_cast<size_t>(length - 1));
    parallel_for(length - 1, 8, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t)
        rows[static_cast<size_t>(t)] = score(p.data() + t * vocab, q.data() + t * vocab, vocab,
                                             ids[static_cast<size_t>(start + t + 1)]);
    });
    for (const RowScore& row : rows) {
      total.kl += row.kl;
      total.reference += row.reference;
      total.candidate += row.candidate;
    }
    total.count += length - 1;
  }
  const auto count = static_cast<double>(std::max<int64_t>(1, total.count));
  total.kl /= count;
  total.reference /= count;
  total.candidate /= count;
  return total;
}

}  // namespace attar
