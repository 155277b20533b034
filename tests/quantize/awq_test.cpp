#include "quantize/awq.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/quantize/golden.h"

namespace attar {
namespace {

/// 2 / samples · Xᵀ X
std::vector<float> second_moments(const std::vector<float>& x, int64_t cols) {
  const int64_t samples = static_cast<int64_t>(x.size()) / cols;
  std::vector<float> h(static_cast<size_t>(cols * cols));
  for (int64_t i = 0; i < cols; ++i)
    for (int64_t j = 0; j < cols; ++j) {
      double sum = 0;
      for (int64_t s = 0; s < samples; ++s)
        sum += static_cast<double>(x[static_cast<size_t>(s * cols + i)]) *
               static_cast<double>(x[static_cast<size_t>(s * cols + j)]);
      h[static_cast<size_t>(i * cols + j)] =
          static_cast<float>(2 * sum / static_cast<double>(samples));
    }
  return h;
}

class AwqGolden : public testing::Test {
 protected:
  static constexpr int64_t kRows = 64, kCols = 128;
  void SetUp() override {
    if (!Golden::shared("awq")) GTEST_SKIP() << "../shared/fixtures/methods/awq is not there";
    golden_.emplace(*Golden::shared("awq"));
    weight_ = golden_->floats("weight");
    view_ = {weight_, kRows, {4, 32, false, DType::f32}};
  }

  std::optional<Golden> golden_;
  std::vector<float> weight_;
  MatrixView view_;
};

TEST_F(AwqGolden, LossesAndFactorsOfBothForms) {
  const auto h = second_moments(golden_->floats("calib"), kCols);
  const auto magnitude = golden_->floats("act_mean_abs");
  for (const bool duo : {false, true}) {
    const std::string form = duo ? "duo" : "plain";
    AwqOptions options;
    options.duo = duo;
    const AwqResult result = awq_factors({&view_, 1}, magnitude, h, options);
    const auto losses = golden_->doubles(form + ".loss_history");
    ASSERT_EQ(result.losses.size(), losses.size());
    for (size_t k = 0; k < losses.size(); ++k)  // the mean over rows, without the factor 2
      EXPECT_NEAR(result.losses[k] / (2 * kRows), losses[k], 1e-3 * losses[k]) << form << " " << k;
    const auto factors = golden_->floats(form + ".scales");
    for (size_t j = 0; j < factors.size(); ++j)
      EXPECT_NEAR(result.factors[j], factors[j], 1e-4f * factors[j]) << form << " " << j;
  }
}

TEST_F(AwqGolden, SmoothQuantFactors) {
  const auto x = golden_->floats("calib");
  std::vector<float> largest(kCols);
  for (size_t i = 0; i < x.size(); ++i)
    largest[i % kCols] = std::max(largest[i % kCols], std::abs(x[i]));
  for (const char* alpha : {"0.5", "0.75"}) {
    const auto factors = smoothquant_factors({&view_, 1}, largest, std::stod(alpha));
    const auto expected = golden_->floats(std::string("smoothquant_alpha") + alpha + ".scales");
    for (size_t j = 0; j < expected.size(); ++j)
      EXPECT_NEAR(factors[j], expected[j], 1e-5f * expected[j]) << alpha << " " << j;
  }
}

TEST(Awq, ColumnsOfOneChannelShareAFactorAndDeadOnesStayFinite) {
  std::vector<float> w(8 * 8, 0.5f);
  for (size_t i = 0; i < w.size(); ++i) w[i] += 0.01f * static_cast<float>(i % 7);
  std::vector<float> h(64), magnitude = {0, 1, 2, 3};  // channel 0 never carries anything
  const std::vector<int32_t> channel = {0, 1, 2, 3, 0, 1, 2, 3};
  for (size_t j = 0; j < 8; ++j) h[j * 9] = magnitude[j % 4] * magnitude[j % 4];
  const MatrixView view{w, 8, {4, 0, true, DType::f32}};
  const AwqResult result = awq_factors({&view, 1}, magnitude, h, {}, channel);
  ASSERT_EQ(result.factors.size(), 4u);
  for (const float factor : result.factors) EXPECT_TRUE(factor > 0 && std::isfinite(factor));
}

}  // namespace
}  // namespace attar
