#include "quantize/foldings.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compress/architecture/model.h"
#include "compress/base/random.h"
#include "compress/runtime/hidden_stream.h"
#include "tests/quantize/run_stage.h"

namespace attar {
namespace {

std::vector<int32_t> some_ids(int64_t count, int64_t vocab) {
  Random random(3);
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (int32_t& id : ids) id = static_cast<int32_t>(random.below(static_cast<uint64_t>(vocab)));
  return ids;
}

class Foldings : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, Foldings,
                         testing::Values("llama_gqa", "llama_tied", "qwen2", "qwen3"));

TEST_P(Foldings, EveryOneKeepsWhatTheBlockGives) {
  const fs::path path = golden_model(GetParam());
  if (!fs::exists(path)) GTEST_SKIP() << path << " is not there";
  const Model model = open_model(path);
  HiddenStream stream(model.spec, *model.weights, some_ids(24, model.spec.vocab), 24);
  const FoldingPlan plan =
      plan_foldings(model.spec.blocks[0], [](const std::string&) { return true; });
  EXPECT_EQ(plan.foldings.size(), 4u);
  EXPECT_TRUE(plan.skipped.empty());
  const std::vector<float> before = stream.watch(Block(model.spec, 0, *model.weights), 0, 0);
  Random random(5);
  OverlayWeights all(*model.weights);
  for (const Folding& folding : plan.foldings) {
    std::vector<float> s(static_cast<size_t>(folding.channels));
    for (float& factor : s) factor = static_cast<float>(std::exp(random.normal()));
    OverlayWeights one(*model.weights);
    apply_folding(folding, s, one);
    apply_folding(folding, s, all);
    for (const OverlayWeights* weights : {&one, &all}) {
      const std::vector<float> after = stream.watch(Block(model.spec, 0, *weights), 0, 0);
      double difference = 0, size = 0;
      for (size_t i = 0; i < after.size(); ++i) {
        const double d = static_cast<double>(after[i]) - static_cast<double>(before[i]);
        difference += d * d;
        size += static_cast<double>(before[i]) * static_cast<double>(before[i]);
      }
      EXPECT_LT(std::sqrt(difference / size), 1e-5) << folding.name;
    }
  }
}

TEST(FoldingPlan, SaysWhatItLeavesAlone) {
  const Model model = open_model(golden_model("llama_gqa"));
  BlockSpec block = model.spec.blocks[0];
  const FoldingPlan kept =
      plan_foldings(block, [](const std::string& module) { return !module.ends_with("v_proj"); });
  ASSERT_EQ(kept.skipped.size(), 2u);  // both that would change v
  EXPECT_NE(kept.skipped[0].why.find("v_proj is not quantized"), std::string::npos);
  const auto all = [](const std::string&) { return true; };
  block.mlp.gate = {};
  block.mlp.activation = Activation::gelu_tanh;
  ASSERT_EQ(plan_foldings(block, all).skipped.size(), 1u);
  EXPECT_NE(plan_foldings(block, all).skipped[0].why.find("activation"), std::string::npos);
  block.residual = Residual::post_norm;
  EXPECT_EQ(plan_foldings(block, all).skipped.size(), 3u);
}

TEST(FoldingPlan, AHalfPrecisionNormIsDividedExactly) {
  const Model model = open_model(golden_model("llama_gqa"));
  const FoldingPlan plan =
      plan_foldings(model.spec.blocks[0], [](const std::string&) { return true; });
  const Folding& folding = plan.foldings[0];
  OverlayWeights weights(*model.weights);
  const std::vector<float> norm = model.weights->floats(folding.norm.weight);
  weights.put(folding.norm.weight, dense_tensor(norm, {folding.channels}, DType::bf16));
  const std::vector<float> before = weights.floats(folding.norm.weight);
  const std::vector<float> w = model.weights->floats(folding.readers[0].weight);
  apply_folding(folding, std::vector<float>(static_cast<size_t>(folding.channels), 1.37f), weights);
  const std::vector<float> after = weights.floats(folding.norm.weight);
  const std::vector<float> scaled = weights.floats(folding.readers[0].weight);
  for (size_t j = 0; j < before.size(); ++j)  // norm · column stays to float32's precision
    EXPECT_NEAR(after[j] * scaled[j], before[j] * w[j], 1e-6f * std::abs(before[j] * w[j]));
}

}  // namespace
}  // namespace attar
