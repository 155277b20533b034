// include, --set, --output, ${…}, relative paths.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "compress/base/files.h"
#include "tests/recipe/example.h"

namespace attar::testing {
namespace {

class Compose : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("attar-compose-" + std::to_string(::getpid()));
    fs::create_directories(root_ / "common");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(root_ / name) << text;
  }
  Recipe load(const std::vector<std::string>& overrides = {},
              const std::optional<fs::path>& output = std::nullopt) {
    problems_ = {};
    return load_recipe(root_ / "recipe.yaml", overrides, output, problems_);
  }
  std::string messages() const {
    std::string text = listed(problems_);
    for (size_t at = text.find(root_.string()); at != std::string::npos;
         at = text.find(root_.string()))
      text.replace(at, root_.string().size() + 1, "");
    return text;
  }

  fs::path root_;
  Problems problems_;
};

TEST_F(Compose, IncludedFilesLieBelowTheOwnKeys) {
  write("common/data.yaml",
        "seed: 3\nbudget: {ram: 1G}\ndata:\n  train: {path: a.txt, format: text}\n  held: {path: "
        "b.txt}\n");
  write("common/later.yaml", "seed: 4\n");
  write("recipe.yaml",
        "include: [common/data.yaml, common/later.yaml]\n"
        "attar: 1\nname: x\noutput: out\nmodel: m\n"
        "data: {train: {format: ids}, own: {path: c.txt}}\n"
        "stages: [{name: s, type: t}]\n");
  const Recipe r = load();
  ASSERT_TRUE(problems_.empty()) << messages();
  EXPECT_EQ(r.seed, 4u);  // later files win over earlier ones
  EXPECT_EQ(r.ram_budget, uint64_t{1} << 30);
  EXPECT_EQ(r.find_data("train")->format, "ids");
  EXPECT_EQ(r.find_data("train")->path, root_ / "common/a.txt");  // beside the file that says so
  EXPECT_EQ(r.find_data("own")->path, root_ / "c.txt");
  EXPECT_EQ(r.resolved_yaml.find("include"), std::string::npos);
  Problems problems;
  const Recipe again =
      parse_recipe(r.resolved_yaml, "recipe.yaml", "/elsewhere", {}, std::nullopt, problems);
  EXPECT_EQ(again.resolved_yaml, r.resolved_yaml) << listed(problems);
}

TEST_F(Compose, MistakesNameTheIncludedFile) {
  write("common/data.yaml", "attar: 1\ndata:\n  train: {path: a.txt, fromat: text}\n");
  write("recipe.yaml",
        "include: common/data.yaml\nname: x\noutput: out\nstages: [{name: s, type: t}]\n");
  load();
  EXPECT_EQ(
      messages(),
      "common/data.yaml:3: data.train.fromat | unknown key 'fromat' | did you mean 'format'?\n");
}

TEST_F(Compose, IncludesThatFail) {
  write("a.yaml", "include: recipe.yaml\n");
  write("list.yaml", "- 1\n");
  write("recipe.yaml",
        "include: [a.yaml, absent.yaml, list.yaml, {x: 1}]\n"
        "attar: 1\nname: x\noutput: out\nstages: [{name: s, type: t}]\n");
  load();
  const std::string text = messages();
  EXPECT_NE(text.find("a.yaml:1: include | 'recipe.yaml' is included by itself"), std::string::npos)
      << text;
  EXPECT_NE(text.find("recipe.yaml:1: include.1 | cannot include a file: cannot open file"),
            std::string::npos);
  EXPECT_NE(text.find("recipe.yaml:1: include.2 | an included file must hold a map"),
            std::string::npos);
  EXPECT_NE(text.find("recipe.yaml:1: include.3 | 'include.3' must be text, not a map"),
            std::string::npos);
  EXPECT_EQ(problems_.list().size(), 4u);
}

TEST_F(Compose, OverridesAndTheirPlaces) {
  write("recipe.yaml", kExample);
  Recipe r = load({"stages.slim.keep.ffn=0.25", "name=renamed", "data.train.path=near.txt",
                   "stages.2.scheme=W8A16"},
                  "here/${name}");
  ASSERT_TRUE(problems_.empty()) << messages();
  EXPECT_EQ(r.stages[0].options["keep"]["ffn"].text(), "0.25");
  EXPECT_EQ(r.stages[2].options["scheme"].text(), "W8A16");
  EXPECT_EQ(r.find_data("train")->path,
            fs::current_path() / "near.txt");  // typed here, not in the file
  EXPECT_EQ(r.find_data("validation")->path, root_ / "held.jsonl");
  EXPECT_EQ(r.output, fs::current_path() / "here/renamed");
  load({"stages.slam.keep=1", "sed=1", "seed", "budget.ram=8Q", "include=x", "seed=[1"});
  const std::string text = messages();
  for (const char* mention :
       {"--set: stages.slam.keep | 'stages' has no entry 'slam' | did you mean 'slim'?",
        "--set: sed | unknown key 'sed' | did you mean 'seed'?",
        "--set needs key.path=value, not 'seed'", "--set: budget.ram | '8Q' is no amount of memory",
        "--set: include | --set cannot change", "--set: seed | not valid YAML"})
    EXPECT_NE(text.find(mention), std::string::npos) << mention << "\n" << text;
}

TEST(Interpolation, TopLevelValuesInAnyScalar) {
  Problems problems;
  const Recipe r =
      parsed(with(kExample, "path: stories.txt", "path: \"d/${name}-${seed}.txt\""), problems);
  ASSERT_TRUE(problems.empty()) << listed(problems);
  EXPECT_EQ(r.find_data("train")->path, "/recipes/d/stories-7.txt");
  EXPECT_EQ(mistakes(with(kExample, "${name}", "${nam}")),
            "recipe.yaml:4: output | '${nam}' names no single value at the top of the recipe | "
            "did you mean 'name'?\n");
  EXPECT_EQ(mistakes(with(kExample, "${name}", "${name")),
            "recipe.yaml:4: output | '${' without its '}' | \n");
  EXPECT_NE(mistakes(with(kExample, "${name}", "${budget}")), "");
  EXPECT_NE(
      mistakes(with(kExample, "name: stories", "name: '${output}'")).find("leads back to itself"),
      std::string::npos);
}

TEST(Paths, AbsoluteOnesAndAddressesStay) {
  Problems problems;
  const Recipe r = parsed(
      with(with(kExample, "models/teacher", "hf://owner/name@main"), "stories.txt", "/data/x.txt"),
      problems);
  ASSERT_TRUE(problems.empty()) << listed(problems);
  EXPECT_EQ(r.model, "hf://owner/name@main");
  EXPECT_EQ(r.find_data("train")->path, "/data/x.txt");
  EXPECT_EQ(parsed(with(kExample, "models/teacher", "../m/"), problems).model, "/m");
  EXPECT_EQ(mistakes(with(kExample, "models/teacher", "''")),
            "recipe.yaml:5: model | 'model' is empty | \n");
}

}  // namespace
}  // namespace attar::testing
