// Kept parts of distributions against the whole ones in float64.
#include "compress/distributions/top_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "compress/base/float_types.h"
#include "tests/distributions/random_row.h"

namespace attar {
namespace {

TopRows keep(const std::vector<float>& logits, int64_t k, double temperature = 2) {
  const auto n = std::ssize(logits);
  TopRows rows(k, n, temperature);
  rows.resize(1);
  rows.set(0, logits.data(), summarize_row(logits.data(), n), 0);
  return rows;
}

std::vector<double> softmax(const std::vector<float>& x, double temperature) {
  const double largest = *std::max_element(x.begin(), x.end());
  std::vector<double> p;
  for (const float v : x) p.push_back(std::exp((v - largest) / temperature));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& v : p) v /= sum;
  return p;
}

struct Shape {
  int64_t vocab, k;
};
class Kept : public ::testing::TestWithParam<Shape> {};

TEST_P(Kept, AreTheLikeliestIds) {
  const auto [n, k] = GetParam();
  auto x = random_row(n, 2, 7);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::round(x[i] * 4) / 4;  // many equal ones
  std::vector<int32_t> want(static_cast<size_t>(n));
  std::iota(want.begin(), want.end(), 0);
  std::stable_sort(want.begin(), want.end(), [&](int32_t a, int32_t b) {
    return x[static_cast<size_t>(a)] > x[static_cast<size_t>(b)];
  });
  const TopRows rows = keep(x, k);
  const TopRow row = rows.view().at(0);
  ASSERT_EQ(std::ssize(row.ids), std::min(n, k));
  EXPECT_TRUE(std::equal(row.ids.begin(), row.ids.end(), want.begin()));
}

TEST_P(Kept, RestIsWhatIsLeftAtBothTemperatures) {
  const auto [n, k] = GetParam();
  const auto x = random_row(n, 3, 8);
  const TopRows rows = keep(x, k, 3);
  const TopRow row = rows.view().at(0);
  for (const double temperature : {1.0, 3.0}) {
    auto p = softmax(x, temperature);
    for (const int32_t id : row.ids) p[static_cast<size_t>(id)] = 0;
    const double rest = std::accumulate(p.begin(), p.end(), 0.0);
    const float kept = temperature == 1 ? row.log_rest : row.log_rest_softened;
    EXPECT_NEAR(std::exp(kept), rest, 1e-6 * rest + 1e-12) << temperature;
  }
}

TEST_P(Kept, KlIsThatOfTheNamedIdsAndOneEvent) {
  const auto [n, k] = GetParam();
  const auto x = random_row(n, 3, 9);
  auto y = random_row(n, 0.3, 10);
  for (size_t i = 0; i < y.size(); ++i) y[i] += x[i];
  const TopRows rows = keep(x, k);
  const TopRow row = rows.view().at(0);
  const auto p = softmax(x, 1), q = softmax(y, 1);
  double want = 0, whole = 0, p_rest = 1, q_rest = 1;
  for (size_t i = 0; i < p.size(); ++i) whole += p[i] * std::log(p[i] / q[i]);
  for (const int32_t id : row.ids) {
    const auto i = static_cast<size_t>(id);
    want += p[i] * std::log(p[i] / q[i]);
    p_rest -= p[i];
    q_rest -= q[i];
  }
  if (k < n) want += p_rest * std::log(p_rest / q_rest);
  const double got = kl_divergence(row, y.data(), summarize_row(y.data(), n), n);
  EXPECT_NEAR(got, want, 1e-3 * want + 1e-4);  // float16
  EXPECT_LE(got, whole * 1.001 + 1e-4);
  EXPECT_GE(got, 0);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Kept,
                         ::testing::Values(Shape{1, 1}, Shape{2, 1}, Shape{7, 64}, Shape{64, 64},
                                           Shape{100, 64}, Shape{300, 64}, Shape{4096, 64},
                                           Shape{4096, 1}, Shape{32003, 128}));

TEST(TopRows, ADistributionIsNoWayFromItself) {
  const auto x = random_row(4096, 3, 11);
  const TopRows rows = keep(x, 64);
  const double kl = kl_divergence(rows.view().at(0), x.data(), summarize_row(x.data(), 4096), 4096);
  EXPECT_GE(kl, 0);
  EXPECT_LT(kl, 1e-6);
}

TEST(TopRows, ACertainReferenceAndACertainModelStayFinite) {
  std::vector<float> p(1000, -200.0f), q(1000, -200.0f);
  p[3] = q[5] = 200.0f;
  const TopRows rows = keep(p, 64);
  const double kl = kl_divergence(rows.view().at(0), q.data(), summarize_row(q.data(), 1000), 1000);
  EXPECT_NEAR(kl, 400, 1);
}

TEST(TopRows, LossIsThatOfTheNextId) {
  const auto x = random_row(500, 3, 12);
  TopRows rows(64, 500, 2);
  rows.resize(1);
  rows.set(0, x.data(), summarize_row(x.data(), 500), 123);
  EXPECT_NEAR(rows.view().loss[0], -std::log(softmax(x, 1)[123]), 1e-6);
}

}  // namespace
}  // namespace attar
