#include "eval/baseline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compress/base/error.h"

namespace attar::eval {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

EvaluationRow row(const std::string& metric, double value, double half,
                  bool higher_is_better = false) {
  EvaluationRow r;
  r.model = "student";
  r.metric = metric;
  r.value = value;
  if (half > 0) {
    r.ci_low = value - half;
    r.ci_high = value + half;
  }
  r.higher_is_better = higher_is_better;
  return r;
}

RunReport baseline(const EvaluationRow& before) {
  RunReport report;
  report.evaluation = {before};
  return report;
}

TEST(Baseline, WithinNoiseIsNoRegression) {
  const auto result =
      compare_with_baseline({row("perplexity", 10.5, 1)}, baseline(row("perplexity", 10, 1)));
  EXPECT_THAT(result.regressions, IsEmpty());
  EXPECT_EQ(result.judged, 1u);
}

TEST(Baseline, BeyondNoiseIsOneInTheWorseDirectionOnly) {
  const auto before = baseline(row("perplexity", 10, 0.1));
  EXPECT_THAT(compare_with_baseline({row("perplexity", 11, 0.1)}, before).regressions,
              ElementsAre(HasSubstr("student perplexity: 11.000, baseline 10.000")));
  EXPECT_THAT(compare_with_baseline({row("perplexity", 9, 0.1)}, before).regressions, IsEmpty());
  const auto agreement = baseline(row("top1_agreement", 0.9, 0.01, true));
  EXPECT_EQ(
      compare_with_baseline({row("top1_agreement", 0.8, 0.01, true)}, agreement).regressions.size(),
      1u);
  EXPECT_THAT(
      compare_with_baseline({row("top1_agreement", 0.95, 0.01, true)}, agreement).regressions,
      IsEmpty());
}

TEST(Baseline, PairedIntervalsAreSharper) {
  auto before = row("perplexity", 10, 3), now = row("perplexity", 10.5, 3);
  before.details["paired"] = {{"ratio_ci_low", 1.00}, {"ratio_ci_high", 1.01}};
  now.details["paired"] = {{"ratio_ci_low", 1.04}, {"ratio_ci_high", 1.06}};
  EXPECT_EQ(compare_with_baseline({now}, baseline(before)).regressions.size(), 1u);
}

/// A row over 30 units of which every one got worse by `more`, beside units that differ widely.
EvaluationRow by_unit(double more, bool higher_is_better = false, bool logarithmic = true) {
  auto r = row("perplexity", 10 + more, 5, higher_is_better);
  std::vector<double> sums, counts;
  for (int u = 0; u < 30; ++u) {
    sums.push_back(100 * (2 + (u % 7)) + 100 * more + (u % 3) * 0.1);
    counts.push_back(100);
  }
  r.details["by_unit"] = {{"logarithmic", logarithmic}, {"sums", sums}, {"counts", counts}};
  return r;
}

TEST(Baseline, TheSameUnitsAreSharpest) {
  const auto before = baseline(by_unit(0));
  EXPECT_THAT(compare_with_baseline({by_unit(0)}, before).regressions, IsEmpty());
  EXPECT_THAT(compare_with_baseline({by_unit(0.01)}, before).regressions,
              ElementsAre(HasSubstr("times 1.01 (1.01 to 1.01)")));
  EXPECT_THAT(compare_with_baseline({by_unit(-0.01)}, before).regressions, IsEmpty());
  const auto agreement = baseline(by_unit(0, true, false));
  EXPECT_THAT(compare_with_baseline({by_unit(-0.01, true, false)}, agreement).regressions,
              ElementsAre(HasSubstr("changed by -0.01 ")));
  EXPECT_THAT(compare_with_baseline({by_unit(0.01, true, false)}, agreement).regressions,
              IsEmpty());
  auto other = by_unit(0.01);
  other.details["by_unit"]["counts"][0] = 99;  // other units: intervals that overlap
  EXPECT_THAT(compare_with_baseline({other}, before).regressions, IsEmpty());
}

TEST(Baseline, SizesAreExact) {
  EXPECT_EQ(
      compare_with_baseline({row("model_bytes", 1001, 0)}, baseline(row("model_bytes", 1000, 0)))
          .regressions.size(),
      1u);
}

TEST(Baseline, SaysWhatItCannotJudge) {
  const auto speed = compare_with_baseline({row("decode_tokens_per_s", 10, 0, true)},
                                           baseline(row("decode_tokens_per_s", 20, 0, true)));
  EXPECT_THAT(speed.regressions, IsEmpty());
  EXPECT_THAT(speed.unjudged, ElementsAre(HasSubstr("no interval")));
  auto other = row("perplexity", 10, 1);
  other.details["data_sha256"] = "another";
  EXPECT_THAT(compare_with_baseline({other}, baseline(row("perplexity", 5, 1))).unjudged,
              ElementsAre(HasSubstr("other data")));
}

TEST(Baseline, RefusesOneWithNothingInCommon) {
  EXPECT_THROW(compare_with_baseline({row("perplexity", 1, 1)}, RunReport()), Error);
}

}  // namespace
}  // namespace attar::eval
