// Options of train and distill: defaults, mistakes, estimates.
#include "distill/options.h"

#include <gtest/gtest.h>

#include "distill/stage.h"

namespace attar {
namespace {

std::vector<Problem> problems_of(const StageType& type, const std::string& yaml) {
  Problems problems;
  const Node node = Node::parse(yaml, "recipe.yaml", problems);
  type.resolve(node, problems);
  return problems.list();
}

nlohmann::ordered_json resolved(const StageType& type, const std::string& yaml) {
  Problems problems;
  const Node node = Node::parse(yaml, "recipe.yaml", problems);
  auto json = type.resolve(node, problems);
  EXPECT_TRUE(problems.empty());
  return json;
}

TEST(DistillOptions, GivenLossesReplaceTheUsualOnes) {
  const auto usual = resolved(distill_stage(), "{teacher: model, data: train}");
  EXPECT_EQ(usual["loss"]["kl"], 0.9);
  EXPECT_EQ(usual["loss"]["ce"], 0.1);
  const auto given = resolved(distill_stage(), "{teacher: model, data: train, loss: {tv: 1}}");
  EXPECT_EQ(given["loss"]["tv"], 1.0);
  EXPECT_EQ(given["loss"]["kl"], 0.0);
  EXPECT_EQ(given["loss"]["ce"], 0.0);
}

TEST(DistillOptions, MistakesAreReported) {
  EXPECT_EQ(problems_of(distill_stage(), "{data: train}").size(), 1u);
  EXPECT_EQ(problems_of(distill_stage(), "{teacher: model, data: d, loss: {k1: 1}}").size(), 2u);
  EXPECT_EQ(problems_of(distill_stage(), "{teacher: model, data: d, steps: 5, epochs: 1}").size(),
            1u);
  EXPECT_EQ(problems_of(distill_stage(), "{teacher: model, data: d, temperature: 0}").size(), 1u);
  EXPECT_EQ(problems_of(distill_stage(), "{teacher: model, data: d, betas: [0.9]}").size(), 1u);
}

TEST(DistillOptions, AKeptTeacherHasDistributionsOnly) {
  const auto count = [](const std::string& loss) {
    return problems_of(distill_stage(),
                       "{teacher: model, data: d, teacher_top_k: 64, loss: " + loss + "}")
        .size();
  };
  EXPECT_EQ(count("{kl: 0.5, ce: 0.5}"), 0u);
  EXPECT_EQ(count("{logit_mse: 1}"), 1u);
  EXPECT_EQ(count("{kl: 1, logit_mse: 1}"), 1u);
  EXPECT_EQ(count("{cosine: 1}"), 1u);
  EXPECT_EQ(count("{ce: 1}"), 1u);
  EXPECT_EQ(problems_of(distill_stage(), "{teacher: model, data: d, teacher_top_k: 0}").size(), 1u);
}

TEST(TrainOptions, FromScratchNeedsOneTokenizer) {
  const std::string shape = "architecture: {hidden: 64, ffn: 96, layers: 2, heads: 4}";
  EXPECT_TRUE(
      problems_of(train_stage(), "{data: d, " + shape + ", tokenizer: {vocab_size: 512}}").empty());
  EXPECT_EQ(problems_of(train_stage(), "{data: d, " + shape + "}").size(), 1u);
  EXPECT_EQ(problems_of(train_stage(), "{data: d, tokenizer: {vocab_size: 512}}").size(), 1u);
  EXPECT_EQ(
      problems_of(train_stage(), "{data: d, " + shape + ", tokenizer: {vocab_size: 512, path: x}}")
          .size(),
      1u);
  EXPECT_TRUE(problems_of(train_stage(), "{data: d}").empty());
}

TEST(TrainOptions, HeadsMustFit) {
  EXPECT_EQ(
      problems_of(train_stage(),
                  "{data: d, tokenizer: {vocab_size: 512}, architecture: {hidden: 65, ffn: 96, "
                  "layers: 2, heads: 4, head_dim: 16, kv_heads: 3}}")
          .size(),
      1u);
}

}  // namespace
}  // namespace attar
