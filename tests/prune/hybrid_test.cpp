// Pruning models with experts and recurrent layers.
#include <gtest/gtest.h>

#include "compress/architecture/model.h"
#include "compress/base/error.h"
#include "compress/runtime/model.h"
#include "prune/stage.h"
#include "tests/quantize/run_stage.h"

namespace attar {
namespace {

class PruneHybrid : public testing::Test {
 protected:
  const TemporaryDirectory home_;
  const fs::path ids_ = write_ids(home_.path(), 4, 48, 128);

  StageRun run(const std::string& model, const std::string& options) const {
    return run_stage(prune_stage(), golden_model(model), ids_, options);
  }
};

TEST_F(PruneHybrid, WidthShrinksEveryExpertAndLeavesDeltaNetAlone) {
  for (const std::string compensate : {"none", "least_squares"}) {
    const StageRun result = run("qwen3_next",
                                "keep: {ffn: 0.5}, multiple_of: 2, data: calibration, "
                                "compensate: " +
                                    compensate);
    EXPECT_TRUE(all_passed(result.report)) << result.report.checks.back().detail;
    const Model pruned = open_model(result.model);
    EXPECT_EQ(pruned.spec.blocks[0].moe->experts[3].width, 4);
    EXPECT_EQ(pruned.spec.blocks[0].moe->shared.width, 6);
    EXPECT_EQ(pruned.spec.blocks[1].mlp.width, 16);
    EXPECT_EQ(pruned.spec.blocks[0].delta_net->value_heads, 4);
    EXPECT_EQ(result.report.facts.at("ffn").size(), 3u);  // dense, experts, shared expert
    const auto& rows = result.report.layers;
    EXPECT_EQ(rows.size(), 3u * 5 + 1);
    EXPECT_EQ(rows[0].at("module"), "layer 0 ffn of model.layers.0.mlp.experts.0");
    EXPECT_LT(rows[0].at("tokens").get<int64_t>(), 4 * 48);
    Session(RuntimeModel::load(pruned)).advance(std::vector<int32_t>{1, 2, 3});
  }
}

TEST_F(PruneHybrid, HeadsOfSoftmaxAttentionGoTheOthersAreReported) {
  // A second key-value head beside the fixture's one: heads that can go.
  const StageRun result =
      run("qwen3_5_text", "keep: {heads: 1.0, ffn: 0.5}, multiple_of: 8, data: calibration");
  EXPECT_TRUE(all_passed(result.report)) << result.report.checks.back().detail;
  ASSERT_EQ(result.report.fallbacks.size(), 1u);
  EXPECT_EQ(result.report.fallbacks[0].what, "heads not pruned");
  EXPECT_EQ(result.report.fallbacks[0].where, "layers 0, 1, 2");
}

TEST_F(PruneHybrid, DepthTakesLayersOfBothKinds) {
  const StageRun result = run("qwen3_next",
                              "method: depth, keep: {layers: 0.5}, protect_first: 0, "
                              "protect_last: 0, data: calibration");
  EXPECT_TRUE(all_passed(result.report)) << result.report.checks.back().detail;
  EXPECT_EQ(open_model(result.model).spec.blocks.size(), 2u);
}

TEST_F(PruneHybrid, ExpertsWithoutTokensAreRankedByWeights) {
  // Two tokens: some expert sees none.
  fs::create_directories(home_.path() / "few");
  const fs::path few = write_ids(home_.path() / "few", 2, 1, 128);
  const StageRun result = run_stage(prune_stage(), golden_model("qwen3_next"), few,
                                    "keep: {ffn: 0.5}, multiple_of: 2, data: calibration, "
                                    "compensate: least_squares");
  EXPECT_TRUE(all_passed(result.report));
  bool ranked = false;
  for (const Fallback& fallback : result.report.fallbacks)
    ranked |= fallback.what == "ranked by magnitude of weights";
  EXPECT_TRUE(ranked);
}

TEST_F(PruneHybrid, ACountOfNeuronsFitsOnlyOneWidth) {
  try {
    run("qwen3_next", "keep: {ffn: 4}, data: calibration");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_NE(error.block().find("MLPs of 8, 12, 32 neurons"), std::string::npos) << error.block();
  }
}

}  // namespace
}  // namespace attar
