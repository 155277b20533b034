// The part of next-id distributions that is worth keeping: at every position the k likeliest ids
// with their probabilities, and how probable all the others are together. 4 to 6 bytes an id kept
// instead of 4 an id of the vocabulary.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "compress/distributions/softmax.h"

namespace attar {

/// One position.
struct TopRow {
  std::span<const int32_t> ids;     // [k], the likeliest first, the lowest id among equals
  std::span<const uint16_t> log_p;  // [k], float16 bits of log p(id), at temperature 1
  /// log of the probability of all other ids, at temperature 1 and at the rows' own; −infinity
  /// where there are none.
  float log_rest = 0, log_rest_softened = 0;
};

/// Consecutive positions of one sequence; valid while their owner lives.
struct TopRowsView {
  int64_t k = 0, rows = 0;
  const int32_t* ids = nullptr;     // [rows, k]
  const uint16_t* log_p = nullptr;  // [rows, k]
  const float* log_rest = nullptr;  // [rows, 2]
  const double* loss = nullptr;     // [rows], −log p(the id that follows), nats

  TopRow at(int64_t row) const;
};

class TopRows {
 public:
  /// Keeps `k` ids of `vocab` (all of them where that is fewer); `temperature` is that of
  /// TopRow::log_rest_softened.
  TopRows(int64_t k, int64_t vocab, double temperature);

  /// Makes room; every row must be set before it is looked at. Several threads may set rows.
  void resize(int64_t rows);
  /// A position: its logits [vocab], their summary, the id that follows.
  void set(int64_t row, const float* logits, const RowSummary& summary, int32_t next);
  TopRowsView view() const;

 private:
  int64_t k_, vocab_;
  float factor_;  // 1 / temperature
  std::vector<int32_t> ids_;
  std::vector<uint16_t> log_p_;
  std::vector<float> log_rest_;
  std::vector<double> loss_;
};

/// KL(p ‖ q) in nats where the ids that `p` does not name are one event: a lower bound of that of
/// the whole distributions (log-sum inequality), and equal to it where p names every id. `q`
/// [vocab] and its summary.
double kl_divergence(const TopRow& p, const float* q, const RowSummary& q_summary, int64_t vocab);

/// The probability of what `row` names, at temperature 1.
double coverage(const TopRow& row);

}  // namespace attar
