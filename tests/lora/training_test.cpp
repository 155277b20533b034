// The stage lora: adapters trained, written, read back, merged.
#include "lora/training.h"

#include <gtest/gtest.h>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/formats/peft.h"
#include "compress/formats/safetensors.h"
#include "compress/training/logits.h"

namespace attar {
namespace {

const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden";

class LoraStage : public testing::Test {
 protected:
  LoraStage() : root_(fs::path(testing::TempDir()) / "attar_lora_stage_test") {
    fs::remove_all(root_);
    fs::create_directories(root_ / "stage");
    fs::create_directories(root_ / "scratch");
    std::vector<int64_t> ids(2000);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(3 + (i * i) % 97);
    SafetensorsWriter writer(root_ / "ids.safetensors", {{"input_ids", DType::i64, {1, 2000}}});
    writer.write("input_ids", std::as_bytes(std::span(ids)));
    writer.finish();
  }
  ~LoraStage() override { fs::remove_all(root_); }

  StageReport run(const std::string& options) {
    Problems problems;
    const Recipe recipe = parse_recipe(
        "attar: 1\nname: t\nseed: 3\noutput: out\nmodel: " + (kGolden / "qwen2").string() +
            "\ndata: {train: {path: ids.safetensors, format: ids}}\n"
            "stages: [{name: stage, type: lora, data: train, steps: 6, batch: 4, window: 24, "
            "learning_rate: 0.01, " +
            options + "}]\n",
        "recipe.yaml", root_, {}, root_, problems);
    problems.throw_if_any();
    StageReport report;
    StageContext context{.recipe = recipe,
                         .spec = recipe.stages[0],
                         .input = kGolden / "qwen2",
                         .output = root_ / "stage",
                         .scratch = root_ / "scratch",
                         .seed = 5,
                         .threads = 1,
                         .report = report,
                         .model_of = {}};
    run_lora(context);
    return report;
  }

  fs::path root_;
};

TEST_F(LoraStage, WritesAdapterAndMergedModel) {
  const StageReport report = run("rank: 4, alpha: 8, dropout: 0.1, targets: [q_proj, '*mlp*']");
  ASSERT_EQ(report.checks.size(), 3u);
  for (const Check& check : report.checks) EXPECT_TRUE(check.passed) << check.name << check.detail;
  EXPECT_LT(report.facts["last_loss"].get<double>(), report.facts["first_loss"].get<double>());
  const attar::Adapter adapter = read_adapter(root_ / "stage/adapter");
  EXPECT_EQ(adapter.modules.size(), 12u);  // q, gate, up, down of three blocks
  EXPECT_TRUE(fs::exists(root_ / "stage/model/model.safetensors"));
}

TEST_F(LoraStage, WithoutMergeWritesTheAdapterAlone) {
  run("rank: 2, rslora: true, merge: none");
  EXPECT_TRUE(fs::exists(root_ / "stage/adapter/adapter_model.safetensors"));
  EXPECT_FALSE(fs::exists(root_ / "stage/model"));
}

TEST_F(LoraStage, TrainsOnAnNf4Base) {
  const StageReport report = run("rank: 4, base: nf4, dtype: fp32");
  for (const Check& check : report.checks) EXPECT_TRUE(check.passed) << check.name << check.detail;
  EXPECT_LT(report.facts["last_loss"].get<double>(), report.facts["first_loss"].get<double>());
  EXPECT_EQ(report.facts["base"], "nf4");
}

TEST_F(LoraStage, RefusesTargetsThatMatchNothing) {
  EXPECT_THROW(run("targets: [q_porj]"), Error);
}

TEST(TorchLogits, WithAnAdapterAgreeWithReference) {
  for (const char* name : {"llama_r8", "llama_rslora_patterns"}) {
    const fs::path golden = kGolden / "methods/lora" / name;
    const fs::path out = fs::path(testing::TempDir()) / "attar_logits.safetensors";
    torch_logits(kGolden / "llama_gqa", golden, golden / "golden.safetensors", out);
    const auto got = Safetensors::open(out).at("logits").floats();
    const auto reference = Safetensors::open(golden / "golden.safetensors");
    const auto expected = reference.at("logits_adapter").floats();
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-4) << i;
    fs::remove(out);
  }
}

}  // namespace
}  // namespace attar
