// Whole recipes through the program: the shipped ones validate, and chains end with what the
// contract promises.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "compress/formats/safetensors.h"
#include "compress/pipeline/manifest.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

using testing::attar;
using testing::beside;
using testing::CommandResult;
using testing::golden;
using testing::slurp;

const fs::path kRecipes = fs::path(ATTAR_SOURCE_DIR) / "recipes";

class Recipes : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::make_test_directory("recipes");
    SafetensorsWriter writer(root_ / "ids.safetensors", {{"input_ids", DType::i64, {16, 32}}});
    std::vector<int64_t> ids(16 * 32);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i * i * 37 % 256);
    writer.write("input_ids", std::as_bytes(std::span(ids)));
    writer.finish();
  }
  void TearDown() override { fs::remove_all(root_); }

  /// A recipe on a golden model and ready-made ids, in root_.
  std::string recipe(const std::string& stages, const std::string& gates = "") {
    write_file(root_ / "recipe.yaml",
               "attar: 1\nname: t\nseed: 1\noutput: run\nmodel: " + golden("llama_gqa").string() +
                   "\ndata:\n  ids: {path: ids.safetensors, format: ids}\nstages:\n" + stages +
                   "evaluate: {data: ids, metrics: [perplexity, kl, top1, size]}\n" + gates);
    return root_ / "recipe.yaml";
  }

  nlohmann::json report(const std::string& run = "run") const {
    return nlohmann::json::parse(slurp(root_ / run / "report.json"));
  }
  static std::string last_line(const std::string& text) {
    const auto end = text.find_last_not_of('\n');
    const auto begin = text.find_last_of('\n', end);
    return text.substr(begin + 1, end - begin);
  }

  fs::path root_;
};

const std::string kQuantize =
    "  - {name: int4, type: quantize, method: gptq, scheme: W4A16, group_size: 32, data: ids}\n"
    "  - {name: int8, type: quantize, from: model, method: rtn, scheme: W8A16, group_size: 32}\n";

TEST_F(Recipes, OpenWithWhatTheyDoAndTheCommand) {
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(kRecipes)) {
    if (entry.path().extension() != ".yaml") continue;
    ++count;
    const std::string text = slurp(entry.path());
    const std::string head = text.substr(0, text.find("attar: 1"));
    EXPECT_EQ(head.front(), '#') << entry.path();
    EXPECT_NE(head.find("#   attar run"), std::string::npos) << entry.path();
  }
  EXPECT_GE(count, 5u);
}

TEST_F(Recipes, ShippedOnesValidate) {
  write_file(root_ / "text.txt", "some text\nof two lines\n");
  const std::string model = "model=" + golden("llama_gqa").string();
  const std::string text = (root_ / "text.txt").string();
  const auto expect_valid = [](const CommandResult& result) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
  };
  expect_valid(attar({"validate", kRecipes / "huggingface.yaml", "--set", model, "--set",
                      "data.train.path=" + text}));
  expect_valid(attar(
      {"validate", kRecipes / "lora.yaml", "--set", model, "--set", "data.train.path=" + text}));
  expect_valid(attar(
      {"validate", kRecipes / "quantize.yaml", "--set", model, "--set", "data.text.path=" + text}));
  expect_valid(attar({"validate", kRecipes / "quickstart.yaml"}));
  expect_valid(attar({"validate", kRecipes / "classifier.yaml", "--set",
                      "model=" + golden("bert_embed").string(), "--set", "data.train.path=" + text,
                      "--set", "data.test.path=" + text}));
  expect_valid(attar(
      {"validate", kRecipes / "stories.yaml", "--set", model, "--set", "data.train.path=" + text}));
}

TEST_F(Recipes, TakeAGgufFileThroughTheWholeChain) {
  const auto exported = attar({"export", golden("llama_tied").string(), "--format", "gguf:q8_0",
                               "--max-kl", "1e9", "--output", (root_ / "m.gguf").string()});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  write_file(root_ / "gguf.yaml",
             "attar: 1\nname: t\nseed: 1\noutput: out\nmodel: m.gguf\n"
             "data: {ids: {path: ids.safetensors, format: ids}}\nstages:\n"
             "  - {name: slim, type: prune, keep: {ffn: 0.5}, data: ids}\n" +
                 kQuantize + "evaluate: {data: ids, metrics: [perplexity, kl, size]}\n");
  const std::string path = (root_ / "gguf.yaml").string();
  for (const char* command : {"validate", "plan", "run", "smoke"}) {
    const auto result = attar({command, path, "--quiet"});
    EXPECT_EQ(result.exit_code, 0) << command << "\n" << result.err << result.out;
  }
  EXPECT_TRUE(fs::exists(root_ / "out/int4/model/model.safetensors"));
  const auto missing = attar({"validate", path, "--set", "model=none.gguf"});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_NE(missing.err.find("GGUF"), std::string::npos) << missing.err;
}

TEST_F(Recipes, StoriesFitTheModelsBesideTheProject) {
  for (const char* name : {"teacher-7M", "stories260K-hf"}) {
    const auto model = beside("models") / name;
    ATTAR_NEEDS(model);
    const auto plan =
        attar({"plan", kRecipes / "stories.yaml", "--set", "model=" + model.string(), "--json"});
    ASSERT_EQ(plan.exit_code, 0) << plan.err;
    const auto json = nlohmann::json::parse(plan.out);
    EXPECT_LT(json["stages"][0]["parameters"], json["model"]["parameters"]);
    EXPECT_LT(json["stages"][2]["bytes"], json["stages"][1]["bytes"]);
  }
}

TEST_F(Recipes, QuantizedModelIsSmallerGoodAndVerified) {
  const auto run = attar({"run", recipe(kQuantize, "gates: {int8: {recovery: 0.99}}\n")});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(last_line(run.out), (root_ / "run" / "report.html").string());
  for (const char* file :
       {"recipe.yaml", "report.json", "report.md", "report.html", "int4/manifest.json",
        "int4/model/config.json", "int4/model/model.safetensors"})
    EXPECT_TRUE(fs::exists(root_ / "run" / file)) << file;
  const auto json = report();
  const auto &int4 = json["stages"][0], &int8 = json["stages"][1];
  EXPECT_TRUE(int4["verification"]["passed"]);
  EXPECT_LT(int4["bits_per_weight"], int8["bits_per_weight"]);
  EXPECT_EQ(int4["parameters"], int8["parameters"]);
  EXPECT_GT(int4["layers"].size(), 0u);
  EXPECT_EQ(attar({"verify", root_ / "run"}).exit_code, 0);

  auto bytes = slurp(root_ / "run" / "int4" / "model" / "model.safetensors");
  bytes[bytes.size() - 9] ^= 2;
  write_file(root_ / "run" / "int4" / "model" / "model.safetensors", bytes);
  const auto verify = attar({"verify", root_ / "run"});
  EXPECT_EQ(verify.exit_code, 3);
  EXPECT_NE(verify.out.find("model.safetensors: changed"), std::string::npos) << verify.out;
}

TEST_F(Recipes, SecondRunIsCachedAndResolvedRecipeIsTheSameRun) {
  ASSERT_EQ(attar({"run", recipe(kQuantize)}).exit_code, 0);
  const auto again = attar({"run", root_ / "run" / "recipe.yaml"});
  ASSERT_EQ(again.exit_code, 0) << again.err;
  for (const auto& stage : report()["stages"]) EXPECT_EQ(stage["status"], "cached");
  EXPECT_EQ(report()["evaluation"].size() % 3, 0u);
}

TEST_F(Recipes, AnyThreadCountGivesTheSameBytes) {
  const std::string path = recipe(kQuantize);
  ASSERT_EQ(attar({"run", path, "--threads", "1", "--output", root_ / "one"}).exit_code, 0);
  ASSERT_EQ(attar({"run", path, "--threads", "3", "--output", root_ / "three"}).exit_code, 0);
  for (const char* stage : {"int4", "int8"})
    EXPECT_EQ(read_manifest(root_ / "one" / stage)->artifact_hash(),
              read_manifest(root_ / "three" / stage)->artifact_hash());
  EXPECT_EQ(report("one")["evaluation"][0], report("three")["evaluation"][0]);
}

TEST_F(Recipes, MissedGateExitsWithThreeAndKeepsTheReport) {
  const auto run = attar({"run", recipe(kQuantize, "gates: {int4: {kl_mean_max: 1e-9}}\n")});
  EXPECT_EQ(run.exit_code, 3) << run.err;
  EXPECT_NE(run.err.find("gate missed"), std::string::npos) << run.err;
  EXPECT_EQ(report()["stages"].size(), 2u);
}

#ifdef ATTAR_HAS_TRAINING
/// The main job at a thousandth of its length.
TEST_F(Recipes, QuickstartChainEndsWithFourModels) {
  const auto run =
      attar({"run", "--output", root_ / "run", "--set", "stages.teacher.steps=3", "--set",
             "stages.student.steps=2", "--set", "stages.teacher.batch=2", "--set",
             "stages.student.batch=2", "--set", "data.train.include='*.tcc'", "--set",
             "stages.int4.max_kl=100", "--set", "evaluate.metrics=[perplexity, kl, size]"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto json = report();
  ASSERT_EQ(json["stages"].size(), 4u);
  for (const auto& stage : json["stages"]) EXPECT_EQ(stage["status"], "done");
  EXPECT_LT(json["stages"][1]["parameters"], json["stages"][0]["parameters"]);
  EXPECT_EQ(attar({"verify", root_ / "run"}).exit_code, 0);
  const auto text = attar(
      {"generate", root_ / "run" / "int4" / "model", "--prompt", "int", "--max-new-tokens", "4"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
}

TEST_F(Recipes, TrainingResumesFromTheFinishedStages) {
  const std::vector<std::string> chain = {"run",
                                          "--output",
                                          root_ / "run",
                                          "--set",
                                          "stages.teacher.steps=2",
                                          "--set",
                                          "stages.student.steps=1",
                                          "--set",
                                          "stages.teacher.batch=2",
                                          "--set",
                                          "stages.student.batch=2",
                                          "--set",
                                          "data.train.include='*.tcc'"};
  auto first = chain, second = chain;
  first.insert(first.end(), {"--until", "teacher"});
  ASSERT_EQ(attar(first).exit_code, 0);
  second.insert(second.end(), {"--until", "slim"});
  const auto run = attar(second);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(report()["stages"][0]["status"], "cached");
  EXPECT_EQ(report()["stages"][1]["status"], "done");
}
#endif

}  // namespace
}  // namespace attar
