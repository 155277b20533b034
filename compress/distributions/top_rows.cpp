#include "compress/distributions/top_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "compress/base/clones.h"
#include "compress/base/float_types.h"

namespace attar {
namespace {

/// Largest of every `lanes`-th element.
ATTAR_CLONES void lane_maxima(const float* x, int64_t n, int64_t lanes, float* maxima) {
  std::copy(x, x + lanes, maxima);
  int64_t i = lanes;
  for (; i + lanes <= n; i += lanes)
    for (int64_t j = 0; j < lanes; ++j) maxima[j] = x[i + j] > maxima[j] ? x[i + j] : maxima[j];
  for (int64_t j = 0; i < n; ++i, ++j) maxima[j] = x[i] > maxima[j] ? x[i] : maxima[j];
}

/// The k largest of x [n], falling, the lowest index among equals; k ≤ n. The k-th largest of k or
/// more lane maxima is a threshold that at least k elements reach, and that few more do.
std::vector<int32_t> select_largest(const float* x, int64_t n, int64_t k) {
  thread_local std::vector<float> maxima;
  float threshold = -std::numeric_limits<float>::infinity();
  if (n > 4 * k) {
    const int64_t lanes = (k + 15) / 16 * 16;
    maxima.resize(static_cast<size_t>(lanes));
    lane_maxima(x, n, lanes, maxima.data());
    std::nth_element(maxima.begin(), maxima.begin() + k - 1, maxima.end(), std::greater<>());
    threshold = maxima[static_cast<size_t>(k - 1)];
  }
  std::vector<int32_t> found;
  for (int64_t i = 0; i < n; ++i)
    if (x[i] >= threshold) found.push_back(static_cast<int32_t>(i));
  const auto before = [x](int32_t a, int32_t b) { return x[a] > x[b] || (x[a] == x[b] && a < b); };
  std::nth_element(found.begin(), found.begin() + k - 1, found.end(), before);
  found.resize(static_cast<size_t>(k));
  std::sort(found.begin(), found.end(), before);
  return found;
}

/// x without the elements at `ids`: these are so low that their exponentials vanish.
const float* without(const float* x, int64_t n, std::span<const int32_t> ids) {
  thread_local std::vector<float> rest;
  rest.assign(x, x + n);
  for (const int32_t id : ids) rest[static_cast<size_t>(id)] = -std::numeric_limits<float>::max();
  return rest.data();
}

}  // namespace

TopRow TopRowsView::at(int64_t row) const {
  const auto count = static_cast<size_t>(k);
  return {
      {ids + row * k, count}, {log_p + row * k, count}, log_rest[2 * row], log_rest[2 * row + 1]};
}

TopRows::TopRows(int64_t k, int64_t vocab, double temperature)
    : k_(std::min(k, vocab)), vocab_(vocab), factor_(static_cast<float>(1 / temperature)) {}

void TopRows::resize(int64_t rows) {
  ids_.resize(static_cast<size_t>(rows * k_));
  log_p_.resize(static_cast<size_t>(rows * k_));
  log_rest_.resize(static_cast<size_t>(rows * 2));
  loss_.resize(static_cast<size_t>(rows));
}

void TopRows::set(int64_t row, const float* logits, const RowSummary& summary, int32_t next) {
  const auto ids = select_largest(logits, vocab_, k_);
  for (size_t i = 0; i < ids.size(); ++i) {
    const double log_p = static_cast<double>(logits[ids[i]]) - summary.log_sum;
    const size_t at = static_cast<size_t>(row * k_) + i;
    ids_[at] = ids[i];
    log_p_[at] = to_float16(static_cast<float>(log_p));
  }
  float log_rest = -std::numeric_limits<float>::infinity(), softened = log_rest;
  if (k_ < vocab_) {
    const float* others = without(logits, vocab_, ids);
    const double rest = sum_of_exponentials(others, vocab_, summary.largest, 1);
    log_rest = static_cast<float>(std::log(rest / summary.sum));
    const double soft = sum_of_exponentials(others, vocab_, summary.largest, factor_);
    const double all = sum_of_exponentials(logits, vocab_, summary.largest, factor_);
    softened = static_cast<float>(std::log(soft / all));
  }
  log_rest_[static_cast<size_t>(2 * row)] = log_rest;
  log_rest_[static_cast<size_t>(2 * row + 1)] = softened;
  loss_[static_cast<size_t>(row)] = summary.log_sum - static_cast<double>(logits[next]);
}

TopRowsView TopRows::view() const {
  return {k_, std::ssize(loss_), ids_.data(), log_p_.data(), log_rest_.data(), loss_.data()};
}

double kl_divergence(const TopRow& p, const float* q, const RowSummary& q_summary, int64_t vocab) {
  // Rounded to float16 the probabilities do not add up to 1; scaled, they do, and KL is not below
  // 0.
  double sum = 0;
  for (const uint16_t log_p : p.log_p) sum += std::exp(static_cast<double>(from_float16(log_p)));
  const double rest = std::exp(static_cast<double>(p.log_rest));
  const double log_sum = std::log(sum + rest);
  double kl = 0;
  for (size_t i = 0; i < p.ids.size(); ++i) {
    const double log_p = static_cast<double>(from_float16(p.log_p[i])) - log_sum;
    const double log_q = static_cast<double>(q[p.ids[i]]) - q_summary.log_sum;
    if (const double weight = std::exp(log_p); weight > 0) kl += weight * (log_p - log_q);
  }
  if (rest == 0) return kl;
  const double others = sum_of_exponentials(without(q, vocab, p.ids), vocab, q_summary.largest, 1);
  const double log_q = std::log(others / q_summary.sum);
  return kl + std::exp(static_cast<double>(p.log_rest) - log_sum) *
                  (static_cast<double>(p.log_rest) - log_sum - log_q);
}

double coverage(const TopRow& row) {
  return 1 - std::exp(static_cast<double>(row.log_rest));
}

}  // namespace attar
