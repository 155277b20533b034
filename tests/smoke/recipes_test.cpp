// attar smoke on recipes: what works, what fails, mistakes.
#include <gtest/gtest.h>

#include "compress/base/files.h"
#include "compress/formats/safetensors.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

using testing::attar;
using testing::golden;

class SmokeRecipes : public ::testing::Test {
 protected:
  void SetUp() override { root_ = testing::make_test_directory("smoke"); }
  void TearDown() override { fs::remove_all(root_); }

  /// A recipe on a golden model and ready-made ids.
  std::string recipe(const std::string& stages) {
    SafetensorsWriter writer(root_ / "ids.safetensors", {{"input_ids", DType::i64, {4, 32}}});
    std::vector<int64_t> ids(4 * 32);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i * i * 37 % 256);
    writer.write("input_ids", std::as_bytes(std::span(ids)));
    writer.finish();
    write_file(root_ / "recipe.yaml",
               "attar: 1\nname: t\nseed: 1\noutput: run\nmodel: " + golden("qwen3_next").string() +
                   "\ndata:\n  ids: {path: ids.safetensors, format: ids}\nstages:\n" + stages);
    return root_ / "recipe.yaml";
  }

  fs::path root_;
};

TEST_F(SmokeRecipes, RunTheStagesAndLeaveNothingBehind) {
  const auto result = attar(
      {"smoke", recipe("  - {name: slim, type: prune, keep: {ffn: 0.5}, data: ids}\n"
                       "  - {name: int4, type: quantize, method: gptq, group_size: 32, data: ids}\n"
                       "evaluate: {data: ids, metrics: [perplexity, kl]}\n"
                       "gates: {int4: {recovery: 1.0}}\n")});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  for (const char* line : {"ok   slim", "ok   int4", "ok   evaluate"})
    EXPECT_NE(result.out.find(line), std::string::npos) << line << " in\n" << result.out;
  EXPECT_FALSE(fs::exists(root_ / "run"));
}

TEST_F(SmokeRecipes, GoOnAfterAStageThatFails) {
  // The random model has no tokenizer, so a stage on text cannot work.
  write_file(root_ / "text.txt", "some text\nand more\n");
  const std::string path = recipe(
      "  - {name: slim, type: prune, keep: {ffn: 0.5}, data: text}\n"
      "  - {name: int8, type: quantize, method: rtn, scheme: W8A16, group_size: 32}\n");
  const auto result =
      attar({"smoke", path, "--set", "data.text={path: " + (root_ / "text.txt").string() + "}"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.out.find("FAIL slim"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("ok   int8"), std::string::npos) << result.out;
}

TEST_F(SmokeRecipes, RefuseWhatTheRecipeItselfGetsWrong) {
  const auto result = attar({"smoke", recipe("  - {name: slim, type: prun, data: ids}\n")});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("prune"), std::string::npos) << result.err;
  EXPECT_EQ(attar({"smoke"}).exit_code, 2);
  const auto family = attar({"smoke", "--family", "qwen35"});
  EXPECT_EQ(family.exit_code, 2);
  EXPECT_NE(family.err.find("qwen3"), std::string::npos) << family.err;
}

}  // namespace
}  // namespace attar
