#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "compress/base/error.h"
#include "compress/runtime/model.h"

namespace attar {
namespace {

TEST(Sampler, ZeroTemperatureTakesTheFirstOfTheLargest) {
  Sampler sampler({});
  const std::vector<float> logits = {1, 3, 3, -2};
  EXPECT_EQ(sampler.next(logits), 1);
}

std::map<int32_t, int> draw(const SamplingOptions& options, const std::vector<float>& logits,
                            int count) {
  Sampler sampler(options);
  std::map<int32_t, int> seen;
  for (int i = 0; i < count; ++i) ++seen[sampler.next(logits)];
  return seen;
}

TEST(Sampler, FollowsTheSoftmax) {
  const std::vector<float> logits = {0, 1, 2};
  auto seen = draw({.temperature = 2, .seed = 5}, logits, 20000);
  const double total = 1 + std::exp(0.5) + std::exp(1.0);
  for (int32_t id = 0; id < 3; ++id)
    EXPECT_NEAR(seen[id] / 20000.0, std::exp(id * 0.5) / total, 0.015);
}

TEST(Sampler, TopKAndTopPCutTheTail) {
  const std::vector<float> logits = {0, 1, 2, 3};
  EXPECT_EQ(draw({.temperature = 5, .top_k = 2}, logits, 500).size(), 2u);
  EXPECT_EQ(draw({.temperature = 1, .top_p = 0.5}, logits, 500).size(), 1u);  // p(3) = 0.64
  EXPECT_EQ(draw({.temperature = 1, .top_p = 0.7}, logits, 500).size(), 2u);
  EXPECT_EQ(draw({.temperature = 1, .min_p = 0.5}, logits, 500).size(), 1u);  // p(2) = 0.37 p(3)
  EXPECT_EQ(draw({.temperature = 1, .min_p = 0.3}, logits, 500).size(), 2u);
}

TEST(Sampler, TheSameSeedDrawsTheSame) {
  const std::vector<float> logits = {0, 0.5, 1, 0.2f};
  Sampler a({.temperature = 1, .seed = 9}), b({.temperature = 1, .seed = 9});
  for (int i = 0; i < 50; ++i) EXPECT_EQ(a.next(logits), b.next(logits));
}

TEST(Sampler, RefusesOptionsOutOfRange) {
  EXPECT_THROW(Sampler({.temperature = -1}), Error);
  EXPECT_THROW(Sampler({.temperature = NAN}), Error);
  EXPECT_THROW(Sampler({.top_k = -1}), Error);
  EXPECT_THROW(Sampler({.top_p = 0}), Error);
  EXPECT_THROW(Sampler({.min_p = 1.5}), Error);
}

}  // namespace
}  // namespace attar
