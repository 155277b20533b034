#include "eval/bootstrap.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compress/base/random.h"
#include "compress/base/threads.h"

namespace attar::eval {
namespace {

std::vector<double> sample(int64_t n, uint64_t seed) {
  Random random(seed);
  std::vector<double> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(2 + random.normal());
  return values;
}

TEST(Bootstrap, IntervalOfAMeanIsTheTextbookOne) {
  const auto values = sample(400, 1);
  double variance = 0;
  for (const double v : values) variance += (v - mean(values)) * (v - mean(values)) / 399;
  const double half = 1.96 * std::sqrt(variance / 400);
  const auto interval = Bootstrap(400, 5).of_mean(values);
  ASSERT_TRUE(interval);
  EXPECT_NEAR(interval->low, mean(values) - half, 0.15 * half);
  EXPECT_NEAR(interval->high, mean(values) + half, 0.15 * half);
}

TEST(Bootstrap, CoversTheTruthAboutAsOftenAsItSays) {
  int covered = 0;
  for (uint64_t trial = 0; trial < 200; ++trial) {
    const auto interval = Bootstrap(60, trial).of_mean(sample(60, 1000 + trial));
    covered += interval->low <= 2 && 2 <= interval->high;
  }
  EXPECT_GE(covered, 178);  // 190 expected; four standard deviations below
}

TEST(Bootstrap, IsTheSameForAnyNumberOfThreadsAndChangesWithTheSeed) {
  const auto values = sample(50, 2);
  const int before = thread_count();
  set_thread_count(1);
  const auto one = Bootstrap(50, 9).of_mean(values);
  set_thread_count(3);
  const auto three = Bootstrap(50, 9).of_mean(values);
  set_thread_count(before);
  EXPECT_EQ(one->low, three->low);
  EXPECT_EQ(one->high, three->high);
  EXPECT_NE(Bootstrap(50, 10).of_mean(values)->low, one->low);
}

TEST(Bootstrap, DrawsAsManyWindowsAsThereAre) {
  Bootstrap(17, 3).resample(1, [](std::span<const int32_t> drawn, double* out) {
    int64_t sum = 0;
    for (const int32_t n : drawn) sum += n;
    EXPECT_EQ(sum, 17);
    *out = 0;
  });
}

TEST(Bootstrap, OneWindowGivesNoInterval) {
  EXPECT_FALSE(Bootstrap(1, 0).of_mean(std::vector<double>{3.0}));
}

TEST(Quantile, InterpolatesBetweenSortedValues) {
  const std::vector<double> values = {1, 2, 3, 10};
  EXPECT_EQ(quantile(values, 0), 1);
  EXPECT_EQ(quantile(values, 1), 10);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 2.5);
  EXPECT_EQ(quantile(std::vector<double>{7}, 0.99), 7);
}

TEST(Ratio, IsOfSums) {
  EXPECT_EQ(ratio(std::vector<double>{1, 3}, std::vector<double>{2, 6}), 0.5);
}

TEST(PValue, IsSmallWhereResamplesAgreeOnASide) {
  EXPECT_EQ(Bootstrap::p_value(std::vector<double>{1, 2, 3, 4}), 0);
  EXPECT_EQ(Bootstrap::p_value(std::vector<double>{-1, 2, 3, 4}), 0.5);
  EXPECT_EQ(Bootstrap::p_value(std::vector<double>{0, 0}), 1);
}

}  // namespace
}  // namespace attar::eval
