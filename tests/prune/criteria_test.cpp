#include "prune/criteria.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "compress/base/error.h"
#include "compress/base/random.h"
#include "compress/base/threads.h"
#include "prune/selection.h"

namespace attar {
namespace {

TEST(Statistics, NormsAndSquaresOfSlices) {
  UnitStatistics statistics(2, 2);
  const std::vector<float> x = {3, 4, 0, 1, -6, 8, 2, 0};
  statistics.add(x.data(), 2);
  EXPECT_EQ(statistics.rows, 2);
  EXPECT_EQ(statistics.norms, (std::vector<double>{15, 3}));
  EXPECT_EQ(statistics.squares, (std::vector<double>{45, 80, 4, 1}));
}

TEST(Statistics, DoNotDependOnThreads) {
  Random random(1);
  std::vector<float> x(40 * 300);
  for (float& value : x) value = static_cast<float>(random.normal());
  const int before = thread_count();
  std::vector<std::vector<double>> norms;
  std::vector<double> cosines;
  for (const int threads : {1, 3}) {
    set_thread_count(threads);
    UnitStatistics units(300, 1);
    BlockStatistics block;
    units.add(x.data(), 40);
    block.add(x.data(), x.data() + 300, 39, 300);
    norms.push_back(units.norms);
    cosines.push_back(block.cosines);
  }
  set_thread_count(before);
  EXPECT_EQ(norms[0], norms[1]);
  EXPECT_EQ(cosines[0], cosines[1]);
}

TEST(Criteria, TableIsComplete) {
  std::set<std::string_view> names;
  for (const Criterion& row : criteria()) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_FALSE(row.summary.empty());
    EXPECT_NE(row.units == nullptr, row.layer == nullptr) << row.name;
    EXPECT_EQ(find_criterion(row.name), &row);
  }
  EXPECT_EQ(find_criterion("nonsense"), nullptr);
}

TEST(Criteria, ScoreUnitsAsTheirNamesSay) {
  UnitStatistics inputs(2, 1);
  const std::vector<float> x = {1, -4, 3, 0};
  inputs.add(x.data(), 2);
  const UnitEvidence evidence{2, 1, &inputs, {4, 1}, {9, 16}};
  EXPECT_EQ(activation_criterion().units(evidence), (std::vector<double>{2, 2}));
  const auto weighted = weighted_activation_criterion().units(evidence);
  EXPECT_NEAR(weighted[0], std::sqrt(5.0 * 4), 1e-12);
  EXPECT_NEAR(weighted[1], std::sqrt(8.0), 1e-12);
  EXPECT_EQ(magnitude_criterion().units(evidence), (std::vector<double>{3, 4}));
}

TEST(Criteria, BlockInfluenceIsZeroForABlockThatDoesNothing) {
  const std::vector<float> in = {1, 2, 3, 4}, turned = {-2, 1, -4, 3};
  BlockStatistics same, orthogonal;
  same.add(in.data(), in.data(), 2, 2);
  orthogonal.add(in.data(), turned.data(), 2, 2);
  EXPECT_NEAR(block_influence_criterion().layer(same), 0, 1e-12);
  EXPECT_NEAR(block_influence_criterion().layer(orthogonal), 1, 1e-12);
}

TEST(KeptCount, FractionsCountsAndMultiples) {
  EXPECT_EQ(kept_count(0.5, 768, 32, "here"), 384);
  EXPECT_EQ(kept_count(0.5, 172, 32, "here"), 96);
  EXPECT_EQ(kept_count(0.01, 768, 32, "here"), 32);
  EXPECT_EQ(kept_count(1, 172, 32, "here"), 172);
  EXPECT_EQ(kept_count(0.99, 172, 32, "here"), 160);
  EXPECT_EQ(kept_count(3, 4, 1, "here"), 3);
  EXPECT_EQ(kept_count(0.75, 4, 1, "here"), 3);
  EXPECT_EQ(kept_count(20, 24, 32, "here"), 24);
}

TEST(KeptCount, RefusesWhatLeavesNothingOrTooMuch) {
  for (const double keep : {0.0, -1.0, 2.5, 9.0, 0.01})
    EXPECT_THROW(kept_count(keep, 8, 1, "here"), Error) << keep;
}

TEST(Highest, KeepsTheBestInOrderAndTheFirstOfEquals) {
  const std::vector<double> scores = {1, 5, 3, 5, 3};
  EXPECT_EQ(highest(scores, 2), (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(highest(scores, 3), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(highest(scores, 0), std::vector<int64_t>{});
}

}  // namespace
}  // namespace attar
