#include "compress/runtime/moe.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "compress/base/threads.h"
#include "tests/support/random_weights.h"

namespace attar {
namespace {

constexpr int64_t kHidden = 12, kExperts = 7;

MlpSpec mlp_of(const std::string& name, int64_t width) {
  MlpSpec spec;
  spec.gate = {name + ".gate.weight", {}, width, kHidden};
  spec.up = {name + ".up.weight", {}, width, kHidden};
  spec.down = {name + ".down.weight", {}, kHidden, width};
  spec.width = width;
  return spec;
}

MoeSpec moe_of(int64_t top_k, bool shared) {
  MoeSpec spec;
  spec.router = {"router.weight", {}, kExperts, kHidden};
  for (int64_t e = 0; e < kExperts; ++e)
    spec.experts.push_back(mlp_of("expert" + std::to_string(e), 5));
  spec.top_k = top_k;
  if (!shared) return spec;
  spec.shared = mlp_of("shared", 9);
  spec.shared_gate = {"shared_gate.weight", {}, 1, kHidden};
  return spec;
}

testing::RandomWeights weights_of(const MoeSpec& spec) {
  testing::RandomWeights weights(3);
  std::vector<const LinearSpec*> linears = {&spec.router};
  for (const MlpSpec& expert : spec.experts)
    linears.insert(linears.end(), {&expert.gate, &expert.up, &expert.down});
  if (spec.shared.width > 0)
    linears.insert(linears.end(),
                   {&spec.shared.gate, &spec.shared.up, &spec.shared.down, &spec.shared_gate});
  for (const LinearSpec* linear : linears)
    weights.add(linear->weight, {linear->out, linear->in}, 0.5);
  return weights;
}

LinearLoader loader(const WeightSource& weights) {
  return [&weights](const LinearSpec& part) { return load_linear(part, weights); };
}

std::vector<float> random_rows(int64_t rows) {
  Random random(8);
  std::vector<float> x;
  for (int64_t i = 0; i < rows * kHidden; ++i) x.push_back(static_cast<float>(random.normal()));
  return x;
}

std::vector<float> forward(const Moe& moe, const std::vector<float>& x,
                           const LinearObserver& observer = {}) {
  std::vector<float> y(x.size());
  moe.forward(x.data(), static_cast<int64_t>(x.size()) / kHidden, y.data(), Activations::exact,
              observer);
  return y;
}

std::vector<double> product(const LinearSpec& linear, const WeightSource& weights,
                            const std::vector<double>& x) {
  const auto w = weights.floats(linear.weight);
  std::vector<double> y(static_cast<size_t>(linear.out));
  for (size_t o = 0; o < y.size(); ++o)
    for (size_t i = 0; i < x.size(); ++i) y[o] += double{w[o * x.size() + i]} * x[i];
  return y;
}

std::vector<double> apply(const MlpSpec& mlp, const WeightSource& weights,
                          const std::vector<double>& x) {
  auto gate = product(mlp.gate, weights, x);
  const auto up = product(mlp.up, weights, x);
  for (size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1 + std::exp(-gate[i]));
  return product(mlp.down, weights, gate);
}

TEST(Moe, SumsTheChosenExpertsAndTheSharedOne) {
  for (const int64_t top_k : {int64_t{1}, int64_t{3}, kExperts})
    for (const bool shared : {false, true})
      for (const bool renormalize : {false, true}) {
        MoeSpec spec = moe_of(top_k, shared);
        spec.renormalize = renormalize;
        const auto weights = weights_of(spec);
        const auto x = random_rows(9);
        const auto y = forward(Moe(spec, loader(weights)), x);
        for (size_t row = 0; row < 9; ++row) {
          const std::vector<double> in(x.begin() + static_cast<long>(row * kHidden),
                                       x.begin() + static_cast<long>((row + 1) * kHidden));
          auto shares = product(spec.router, weights, in);
          double total = 0;
          for (double& share : shares) total += share = std::exp(share);
          std::multiset<double> sorted(shares.begin(), shares.end());
          const double least = *std::next(sorted.rbegin(), top_k - 1);
          double chosen = 0;
          for (const double share : shares) chosen += share >= least ? share : 0;
          std::vector<double> expected(kHidden);
          for (size_t e = 0; e < shares.size(); ++e) {
            if (shares[e] < least) continue;
            const auto out = apply(spec.experts[e], weights, in);
            for (size_t i = 0; i < out.size(); ++i)
              expected[i] += shares[e] / (renormalize ? chosen : total) * out[i];
          }
          if (shared) {
            const auto out = apply(spec.shared, weights, in);
            const double gate = product(spec.shared_gate, weights, in)[0];
            for (size_t i = 0; i < out.size(); ++i) expected[i] += out[i] / (1 + std::exp(-gate));
          }
          for (size_t i = 0; i < expected.size(); ++i)
            EXPECT_NEAR(double{y[row * kHidden + i]}, expected[i], 1e-5);
        }
      }
}

TEST(Moe, ReadsTheChosenExpertsOnly) {
  const MoeSpec spec = moe_of(3, true);
  const auto weights = weights_of(spec);
  const Moe moe(spec, loader(weights));
  uint64_t one = 0;
  for (const LinearSpec* part : {&spec.experts[0].gate, &spec.experts[0].up, &spec.experts[0].down})
    one += load_linear(*part, weights).bytes();
  EXPECT_EQ(moe.step_bytes(), moe.bytes() - (kExperts - 3) * one);
}

TEST(Moe, ARowsBytesDependOnNeitherItsNeighboursNorThreadsNorObservers) {
  const MoeSpec spec = moe_of(2, true);
  const auto weights = weights_of(spec);
  const Moe moe(spec, loader(weights));
  const auto x = random_rows(50);
  const auto all = forward(moe, x);
  const auto same = [&](const std::vector<float>& y, size_t from) {
    return std::memcmp(y.data(), all.data() + from, y.size() * sizeof(float)) == 0;
  };
  for (size_t row = 0; row < 50; ++row) {
    const auto at = x.begin() + static_cast<long>(row * kHidden);
    EXPECT_TRUE(same(forward(moe, {at, at + kHidden}), row * kHidden)) << row;
  }
  const int threads = thread_count();
  for (const int count : {1, 2, 5, 16}) {
    set_thread_count(count);
    EXPECT_TRUE(same(forward(moe, x), 0)) << count << " threads";
  }
  set_thread_count(threads);
  std::map<std::string, int64_t> seen;
  const auto watched = forward(moe, x, [&](const LinearSpec& linear, const float*, int64_t rows) {
    seen[linear.weight] += rows;
  });
  EXPECT_TRUE(same(watched, 0));
  EXPECT_EQ(seen["router.weight"], 50);
  EXPECT_EQ(seen["shared.down.weight"], 50);
  int64_t routed = 0;
  for (int64_t e = 0; e < kExperts; ++e) {
    const std::string name = "expert" + std::to_string(e);
    EXPECT_EQ(seen[name + ".gate.weight"], seen[name + ".down.weight"]);
    routed += seen[name + ".up.weight"];
  }
  EXPECT_EQ(routed, 2 * 50);
}

TEST(Moe, ExpertsThatNoRowGoesToAreNotComputed) {
  const MoeSpec spec = moe_of(1, false);
  const auto weights = weights_of(spec);
  std::set<std::string> seen;
  forward(Moe(spec, loader(weights)), random_rows(1),
          [&](const LinearSpec& linear, const float*, int64_t rows) {
            EXPECT_EQ(rows, 1);
            seen.insert(linear.weight);
          });
  EXPECT_EQ(seen.size(), 4u);  // the router, and one expert's gate, up and down
}

TEST(ChooseExperts, TakesTheFirstOfEqualOnes) {
  const float logits[] = {1, 2, 2, 0, 2};
  const auto two = choose_experts(logits, 5, 2, true);
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0].expert, 1);
  EXPECT_EQ(two[1].expert, 2);
  EXPECT_EQ(two[0].weight, 0.5f);
  EXPECT_EQ(two[1].weight, 0.5f);
  const auto four = choose_experts(logits, 5, 4, false);
  EXPECT_EQ(four[0].expert, 0);
  EXPECT_EQ(four[3].expert, 4);
}

TEST(ChooseExperts, GivesNumbersOfNoMeaningForLogitsOfNone) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float logits[] = {1, nan, 3, nan};
  const auto routes = choose_experts(logits, 4, 3, true);
  ASSERT_EQ(routes.size(), 3u);
  for (const Route& route : routes) EXPECT_TRUE(std::isnan(route.weight));
}

TEST(ChooseExperts, BearsLargeLogits) {
  const float logits[] = {-3e38f, 3e38f, 0};
  const auto routes = choose_experts(logits, 3, 2, true);
  EXPECT_EQ(routes[0].expert, 1);
  EXPECT_EQ(routes[0].weight, 1.0f);
  EXPECT_EQ(routes[1].weight, 0.0f);
}

}  // namespace
}  // namespace attar
