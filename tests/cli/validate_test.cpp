#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/run_command.h"

namespace {

namespace fs = std::filesystem;
using attar::testing::attar;
using attar::testing::make_test_directory;

class Validate : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = make_test_directory("validate");
    fs::create_directories(root_ / "model");
    std::ofstream(root_ / "model/config.json") << "{}";
    std::ofstream(root_ / "text.txt") << "some text\n";
  }
  void TearDown() override { fs::remove_all(root_); }

  auto validate(const std::string& recipe, const std::vector<std::string>& more = {}) {
    std::ofstream(root_ / "recipe.yaml") << recipe;
    std::vector<std::string> arguments = {"validate", "recipe.yaml"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return attar(arguments, root_);
  }

  fs::path root_;
};

const std::string kRecipe = R"(attar: 1
name: small
seed: 1
output: out
model: model
data:
  train: {path: text.txt, format: text}
stages:
  - name: student
    type: distill
    teacher: model
    data: train
    steps: 10
    temperature: 1.5
  - name: int4
    type: quantize
    scheme: W4A16
    group_size: 32
    data: train
)";

std::string with(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

TEST_F(Validate, ValidRecipe) {
  const auto result = validate(kRecipe);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "recipe.yaml: recipe 'small' is valid: 2 stages\n");
  EXPECT_EQ(validate(kRecipe, {"--json"}).out,
            "{\n  \"valid\": true,\n  \"name\": \"small\",\n  \"problems\": []\n}\n");
  EXPECT_FALSE(fs::exists(root_ / "out"));
}

TEST_F(Validate, FiveMistakesEachWithItsLine) {
  std::string text = kRecipe;
  text = with(text, "seed: 1", "seed: -1");
  text = with(text, "format: text", "fromat: text");
  text = with(text, "type: distill", "type: distil");
  text = with(text, "group_size: 32", "group_sice: 32");
  text = with(text, "data: train\n", "data: train\n    from: nobody\n");
  const auto result = validate(text);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.out, "");
  for (const char* mention :
       {"error: 5 mistakes\n", "where: recipe.yaml:3: seed\n", "'seed' must be at least 0, not -1",
        "where: recipe.yaml:7: data.train.fromat\n     hint:  did you mean 'format'?",
        "unknown stage type 'distil'",
        "where: recipe.yaml:10: stages.student.type\n     hint:  did you mean 'distill'?",
        "where: recipe.yaml:13: stages.student.from\n",
        "where: recipe.yaml:19: stages.int4.group_sice\n     hint:  did you mean 'group_size'?"})
    EXPECT_NE(result.err.find(mention), std::string::npos) << mention << "\n" << result.err;
  const auto json = nlohmann::json::parse(validate(text, {"--json"}).out);
  EXPECT_FALSE(json["valid"]);
  EXPECT_EQ(json["problems"].size(), 5u);
}

TEST_F(Validate, EveryKeyMisspeltIsCaught) {
  for (size_t colon = kRecipe.find(": "); colon != std::string::npos;
       colon = kRecipe.find(": ", colon + 1)) {
    std::string text = kRecipe;
    text.insert(text.begin() + static_cast<long>(colon), 'x');
    EXPECT_EQ(validate(text).exit_code, 2) << text.substr(text.rfind('\n', colon) + 1, 30);
  }
}

TEST_F(Validate, WhatIsNoRecipe) {
  EXPECT_EQ(attar({"validate", "absent.yaml"}, root_).exit_code, 2);
  EXPECT_EQ(attar({"validate", "."}, root_).exit_code, 2);
  EXPECT_EQ(attar({"validate", "text.txt"}, root_).exit_code, 2);
  EXPECT_EQ(validate("a: [").exit_code, 2);
  EXPECT_EQ(validate("").exit_code, 2);
  EXPECT_EQ(validate(kRecipe, {"--set", "stages.nobody.steps=1"}).exit_code, 2);
  EXPECT_EQ(validate(kRecipe, {"--set", "stages.student.steps=20"}).exit_code, 0);
}

TEST(BuiltinRecipe, IsValid) {
  const auto result = attar({"validate", "builtin:quickstart"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST(ShippedRecipes, AreValidButForTheFilesTheyName) {
  for (const auto& entry : fs::directory_iterator(std::string(ATTAR_SOURCE_DIR) + "/recipes")) {
    if (entry.path().extension() != ".yaml") continue;
    const auto json =
        nlohmann::json::parse(attar({"validate", entry.path().string(), "--json"}).out);
    for (const auto& problem : json["problems"]) {
      const std::string what = problem["what"];
      EXPECT_TRUE(what.find("no such") == 0 || what.find("no config.json") == 0)
          << entry.path() << ": " << problem;
    }
  }
}

}  // namespace
