#include "prune/stage.h"

#include <gtest/gtest.h>

#include "compress/architecture/family.h"
#include "compress/base/error.h"
#include "compress/base/hash.h"
#include "compress/base/threads.h"
#include "prune/least_squares.h"
#include "tests/quantize/run_stage.h"

namespace attar {
namespace {

class PruneStage : public testing::Test {
 protected:
  const TemporaryDirectory home_;
  const fs::path ids_ = write_ids(home_.path(), 4, 48, 128);
  const fs::path model_ = golden_model("llama_gqa");

  StageRun run(const std::string& options) const {
    return run_stage(prune_stage(), model_, ids_, options);
  }
  std::string error(const std::string& options) const {
    try {
      run(options);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::bad_input) << e.block();
      return e.block();
    }
    return "";
  }
  static ModelSpec spec_of(const fs::path& model) {
    return read_model_spec(ModelDirectory::open(model).config, model.string());
  }
};

TEST_F(PruneStage, EveryCriterionGivesWhatTheMaskedSourceComputes) {
  const ModelSpec before = spec_of(model_);
  for (const std::string criterion : {"activation", "weighted_activation", "magnitude"})
    for (const std::string compensate : {"none", "least_squares"}) {
      const StageRun result = run(
          "method: width, keep: {ffn: 0.5, heads: 0.5}, multiple_of: 8, criterion: " + criterion +
          ", compensate: " + compensate + ", data: calibration");
      ASSERT_EQ(result.report.checks.size(), 2u);
      EXPECT_TRUE(all_passed(result.report)) << criterion << ": " << result.report.checks[1].detail;
      const ModelSpec after = spec_of(result.model);
      EXPECT_EQ(after.blocks[0].attention.kv_heads * 2, before.blocks[0].attention.kv_heads);
      EXPECT_LT(after.blocks[0].mlp.width, before.blocks[0].mlp.width);
      EXPECT_EQ(after.blocks[0].mlp.width % 8, 0);
      EXPECT_EQ(result.report.facts.at("parameters"), after.parameters());
    }
}

TEST_F(PruneStage, EveryFamilyKeepsItsWiring) {
  for (const std::string name :
       {"llama_gqa", "llama_llama3rope", "llama_tied", "mistral_swa", "qwen2", "qwen3",
        "smollm3_nope", "gemma2", "gemma3_text", "phi3_default", "phi3_longrope", "gpt2",
        "gpt_neox", "bert_cls", "bert_embed", "distilbert_cls"}) {
    if (!has_fixture(name)) GTEST_SKIP() << "no reference model " << name;
    const fs::path model = golden_model(name);
    const bool spanning = name.starts_with("gpt");  // whose config.json can't say fewer heads
    const StageRun width =
        run_stage(prune_stage(), model, ids_,
                  std::string(spanning ? "keep: {ffn: 0.5}" : "keep: {ffn: 0.5, heads: 0.5}") +
                      ", multiple_of: 8, data: calibration");
    EXPECT_TRUE(all_passed(width.report)) << name << ": " << width.report.checks.back().detail;
    const StageRun depth = run_stage(prune_stage(), model, ids_,
                                     "method: depth, keep: {layers: 0.5}, protect_first: 0, "
                                     "protect_last: 0, data: calibration");
    EXPECT_TRUE(all_passed(depth.report)) << name << ": " << depth.report.checks.back().detail;
    EXPECT_LT(spec_of(depth.model).blocks.size(), spec_of(model).blocks.size()) << name;
  }
}

/// Norms over heads and neurons are of fewer values afterwards.
TEST_F(PruneStage, NormsOverWhatIsPrunedGiveWhatTheyGave) {
  const fs::path model = fs::path(ATTAR_SOURCE_DIR) / "../shared/models/bitstories-3M-hf";
  if (!fs::exists(model)) GTEST_SKIP() << model << " is not there";
  const StageRun result =
      run_stage(prune_stage(), model, ids_,
                "keep: {ffn: 0.5, heads: 0.5}, multiple_of: 8, data: calibration");
  EXPECT_TRUE(all_passed(result.report)) << result.report.checks.back().detail;
  EXPECT_EQ(spec_of(result.model).blocks[0].mlp.width, 128);
}

TEST_F(PruneStage, DepthDropsTheLayersOfLeastInfluence) {
  const StageRun result = run(
      "method: depth, keep: {layers: 0.5}, protect_first: 0, protect_last: 0, data: calibration");
  EXPECT_TRUE(all_passed(result.report)) << result.report.checks.back().detail;
  EXPECT_EQ(spec_of(result.model).blocks.size(), 1u);
  const auto& rows = result.report.layers;
  ASSERT_EQ(rows.size(), 2u);
  const bool first_kept = rows[0].at("kept");
  EXPECT_NE(first_kept, rows[1].at("kept").get<bool>());
  EXPECT_GE(rows[first_kept ? 0 : 1].at("score"), rows[first_kept ? 1 : 0].at("score"));
}

TEST_F(PruneStage, KeepingEverythingIsReportedAndChangesNothing) {
  const StageRun result = run("keep: {ffn: 1.0}, data: calibration");
  EXPECT_EQ(result.report.facts.at("note"), "nothing was removed");
  const ModelDirectory a = ModelDirectory::open(model_), b = ModelDirectory::open(result.model);
  for (const WeightInfo& info : a.weights->list())
    EXPECT_EQ(a.weights->floats(info.name), b.weights->floats(info.name)) << info.name;
}

TEST_F(PruneStage, CountsOfHeadsAreWholeGroups) {
  const AttentionSpec attention = spec_of(model_).blocks[0].attention;
  const int64_t per_group = attention.heads / attention.kv_heads;
  ASSERT_GT(per_group, 1);
  const StageRun result =
      run("keep: {heads: " + std::to_string(per_group) + "}, data: calibration");
  EXPECT_EQ(spec_of(result.model).blocks[0].attention.kv_heads, 1);
  EXPECT_NE(error("keep: {heads: " + std::to_string(per_group + 1) + "}, data: calibration")
                .find("whole groups"),
            std::string::npos);
}

TEST_F(PruneStage, OptionsThatMakeNoSenseAreRefused) {
  EXPECT_NE(error("keep: {ffn: 0.5}").find("calibration data"), std::string::npos);
  EXPECT_NE(error("keep: {layers: 0.5}, data: calibration").find("no meaning"), std::string::npos);
  EXPECT_NE(error("method: depth, keep: {ffn: 0.5}, data: calibration").find("no meaning"),
            std::string::npos);
  EXPECT_NE(error("method: depth, keep: {layers: 0.5}, criterion: magnitude, data: calibration")
                .find("block_influence"),
            std::string::npos);
  EXPECT_NE(error("keep: {ffn: 0.5}, criterion: activatoin, data: calibration").find("activation"),
            std::string::npos);
  EXPECT_NE(error("keep: {heads: 99}, data: calibration").find("cannot keep"), std::string::npos);
  EXPECT_NE(error("data: calibration").find("keep says nothing"), std::string::npos);
  EXPECT_NE(error("method: depth, keep: {layers: 0.5}, data: calibration").find("protected"),
            std::string::npos);
}

TEST_F(PruneStage, ThreadsDoNotChangeTheBytes) {
  const std::string options = "keep: {ffn: 0.5}, compensate: least_squares, data: calibration";
  const int before = thread_count();
  set_thread_count(1);
  const std::string one = sha256_file(run(options).model / "model.safetensors");
  set_thread_count(3);
  EXPECT_EQ(sha256_file(run(options).model / "model.safetensors"), one);
  set_thread_count(before);
}

TEST_F(PruneStage, EstimateSaysExactlyWhatComesOut) {
  const std::string options = "keep: {ffn: 0.5, heads: 0.5}, multiple_of: 8, criterion: magnitude";
  const StageRun result = run(options);
  Problems problems;
  const Recipe recipe =
      parse_recipe("attar: 1\nname: t\noutput: o\nmodel: " + model_.string() +
                       "\nstages:\n  - {name: it, type: prune, " + options + "}\n",
                   "r.yaml", home_.path(), {}, std::nullopt, problems);
  problems.throw_if_any();
  const ModelDirectory source = ModelDirectory::open(model_),
                       written = ModelDirectory::open(result.model);
  const StageEstimate estimate = prune_stage().estimate(
      recipe.stages.at(0), recipe, {source.config, 82240, source.weight_bytes});
  EXPECT_EQ(estimate.parameters, spec_of(result.model).parameters());
  uint64_t bytes = 0;
  for (const WeightInfo& info : written.weights->list()) bytes += info.bytes;
  EXPECT_EQ(estimate.bytes, bytes);
}

TEST(LeastSquares, RecoversWhatKeptColumnsCanSay) {
  // Column 2 is always column 0 plus column 1, so dropping it loses nothing once refitted.
  Random random(3);
  std::vector<double> gram(9);
  for (int i = 0; i < 50; ++i) {
    const double a = random.normal(), b = random.normal(), x[3] = {a, b, a + b};
    for (size_t p = 0; p < 3; ++p)
      for (size_t q = 0; q < 3; ++q) gram[p * 3 + q] += x[p] * x[q];
  }
  const std::vector<float> w = {1, 2, 3};
  const std::vector<int64_t> kept = {0, 1};
  const auto fitted = refit_columns(w, 1, 3, gram, kept, 1e-9);
  ASSERT_EQ(fitted.size(), 2u);
  EXPECT_NEAR(fitted[0], 4, 1e-4);
  EXPECT_NEAR(fitted[1], 5, 1e-4);
  EXPECT_TRUE(refit_columns(w, 1, 3, std::vector<double>(9, 0.0), kept).empty());
}

}  // namespace
}  // namespace attar
