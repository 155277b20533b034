// Rows of logits against sums in float64 with the library's exp.
#include "compress/distributions/softmax.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/distributions/random_row.h"

namespace attar {
namespace {

double exact_log_sum(const std::vector<float>& x) {
  double largest = x[0], sum = 0;
  for (const float v : x) largest = std::max<double>(largest, v);
  for (const float v : x) sum += std::exp(v - largest);
  return largest + std::log(sum);
}

double exact_kl(const std::vector<float>& p, const std::vector<float>& q) {
  const double lp = exact_log_sum(p), lq = exact_log_sum(q);
  double kl = 0;
  for (size_t i = 0; i < p.size(); ++i) kl += std::exp(p[i] - lp) * ((p[i] - lp) - (q[i] - lq));
  return kl;
}

class Rows : public ::testing::TestWithParam<int64_t> {};

TEST_P(Rows, LogSumEqualsFloat64) {
  for (const double spread : {0.01, 1.0, 10.0, 300.0}) {
    const auto x = random_row(GetParam(), spread, 3);
    const RowSummary row = summarize_row(x.data(), GetParam());
    EXPECT_NEAR(row.log_sum, exact_log_sum(x), 2e-7 * std::max(1.0, std::fabs(row.log_sum) * 0.01))
        << spread;
    EXPECT_EQ(x[static_cast<size_t>(row.argmax)], row.largest);
  }
}

TEST_P(Rows, KlEqualsFloat64) {
  const auto p = random_row(GetParam(), 3, 4);
  for (const double noise : {1e-3, 0.1, 2.0}) {
    auto q = random_row(GetParam(), noise, 5);
    for (size_t i = 0; i < q.size(); ++i) q[i] += p[i];
    const auto ps = summarize_row(p.data(), GetParam()), qs = summarize_row(q.data(), GetParam());
    const double want = exact_kl(p, q), got = kl_divergence(p.data(), ps, q.data(), qs, GetParam());
    EXPECT_NEAR(got, want, 2e-8 + 1e-6 * want) << noise;
  }
}

INSTANTIATE_TEST_SUITE_P(Lengths, Rows, ::testing::Values(1, 2, 15, 16, 17, 100, 4096, 32003));

TEST(Softmax, KlOfEqualRowsIsZero) {
  const auto x = random_row(1000, 5, 6);
  const auto row = summarize_row(x.data(), 1000);
  EXPECT_EQ(kl_divergence(x.data(), row, x.data(), row, 1000), 0);
}

TEST(Softmax, TheFirstOfEqualLogitsIsTheLikeliest) {
  std::vector<float> x(100, 1.0f);
  x[40] = x[70] = 2.0f;
  EXPECT_EQ(summarize_row(x.data(), 100).argmax, 40);
}

TEST(Softmax, FarApartLogitsStayFinite) {
  const std::vector<float> p = {3e38f, -3e38f, 0}, q = {0, 1e30f, -1e30f};
  EXPECT_TRUE(std::isfinite(summarize_row(p.data(), 3).log_sum));
  EXPECT_TRUE(std::isfinite(summarize_row(q.data(), 3).log_sum));
}

}  // namespace
}  // namespace attar
