// Mistakes that are known before anything starts, and the plan.
#include "compress/pipeline/builtin_recipe.h"
#include "compress/pipeline/plan.h"
#include "tests/pipeline/fake_stages.h"

namespace attar::testing {
namespace {

class ValidateTest : public RunnerTest {
 protected:
  /// All messages, hints included, one string.
  std::string mistakes(const std::string& stages, const std::string& more = "") const {
    Problems problems;
    validate_recipe(recipe(stages, more), fake_toolbox(), problems);
    std::string text;
    for (const auto& p : problems.list()) text += p.where + ": " + p.what + " | " + p.hint + "\n";
    return text;
  }
};

#define EXPECT_MENTIONS(text, mention) \
  EXPECT_NE((text).find(mention), std::string::npos) << "expected: " << (mention) << "\n" << (text)

TEST_F(ValidateTest, FineRecipeHasNoProblems) {
  EXPECT_EQ(mistakes(kTwoStages,
                     "evaluate: {data: ids, metrics: [perplexity, kl]}\n"
                     "gates: {b: {recovery: 0.9, kl_mean_max: 0.1}}\n"),
            "");
}

TEST_F(ValidateTest, EveryMistakeAtOnceWithItsPlace) {
  const std::string text = mistakes(
      "  - {name: a, type: scael}\n"
      "  - {name: b, type: scale, factr: 0.5}\n"
      "  - {name: c, type: scale, data: idz, teacher: d}\n"
      "  - {name: d, type: scale, mode: wrok}\n",
      "evaluate: {data: ids, metrics: [perplexty], models: [a]}\n"
      "gates: {b: {recovery: 0.9}, a: {perplexity: 3, kl_maen_max: 1}}\n");
  for (const char* mention :
       {"recipe.yaml:9", "unknown stage type 'scael'", "did you mean 'scale'?", "factr",
        "did you mean 'factor'?", "idz", "did you mean 'ids'?", "refers to 'd'", "wrok",
        "unknown metric 'perplexty'", "perplexity", "gate on 'b', which is not evaluated",
        "unknown gate 'perplexity'", "<metric>_max", "unknown metric 'kl_maen'",
        "did you mean 'kl_mean'?"})
    EXPECT_MENTIONS(text, mention);
}

TEST_F(ValidateTest, MissingFiles) {
  fs::remove(root_ / "ids.safetensors");
  fs::remove(root_ / "model" / "config.json");
  const std::string text = mistakes(kTwoStages);
  EXPECT_MENTIONS(text, "no such data file");
  EXPECT_MENTIONS(text, "no config.json");
  fs::remove_all(root_ / "model");
  EXPECT_MENTIONS(mistakes(kTwoStages), "no such model directory");
  std::ofstream(root_ / "ids.safetensors").flush();
  EXPECT_MENTIONS(mistakes(kTwoStages), "data file is empty");
}

TEST_F(ValidateTest, DirectoriesThatStagesReferTo) {
  const std::string stages = "  - {name: a, type: scale, teacher: ./adapter}\n";
  EXPECT_MENTIONS(mistakes(stages), "'./adapter', which does not exist");
  fs::create_directory(root_ / "adapter");
  EXPECT_EQ(mistakes(stages), "");
  for (const char* content : {"1", "2"}) {
    std::ofstream(root_ / "adapter" / "adapter_config.json") << content;
    run(recipe(stages));
  }
  EXPECT_EQ(run_counts()["a"], 2) << "its contents are part of the cache key";
}

TEST_F(ValidateTest, StagesThatNeedAModel) {
  Recipe r = recipe(kTwoStages);
  r.model.clear();
  Problems problems;
  validate_recipe(r, fake_toolbox(), problems);
  ASSERT_EQ(problems.list().size(), 1u);
  EXPECT_MENTIONS(problems.list()[0].what, "needs a model");
}

TEST_F(ValidateTest, BrokenInputIsRefusedBeforeAnythingIsWritten) {
  const auto expect_refused = [&](const std::string& mention) {
    const Error e = failed_run(recipe(kTwoStages));
    EXPECT_EQ(e.code(), ExitCode::bad_input);
    EXPECT_MENTIONS(e.block(), mention);
    EXPECT_FALSE(fs::exists(root_ / "run"));
  };
  const fs::path weights = root_ / "model" / "model.safetensors";
  const std::string good = slurp(weights);
  fs::resize_file(weights, good.size() - 10);
  expect_refused("model.safetensors");

  // The last float of the file becomes NaN.
  auto bad = good;
  bad.replace(bad.size() - 4, 4, std::string("\xff\xff\xff\xff", 4));
  std::ofstream(weights, std::ios::binary) << bad;
  expect_refused("tensor model.norm.weight");
  std::ofstream(weights, std::ios::binary) << good;

  std::ofstream(root_ / "ids.safetensors") << "no tensors here";
  expect_refused("ids.safetensors");
}

TEST_F(ValidateTest, OutputInTheWayOfAFile) {
  std::ofstream(root_ / "run") << "mine";
  EXPECT_EQ(failed_run(recipe(kTwoStages)).code(), ExitCode::bad_input);
  EXPECT_EQ(slurp(root_ / "run"), "mine");
}

TEST_F(ValidateTest, PlanWalksTheStages) {
  const auto plan = plan_recipe(recipe(kTwoStages, "budget: {ram: 1G}\n"), fake_toolbox());
  ASSERT_EQ(plan["stages"].size(), 2u);
  EXPECT_EQ(plan["stages"][1]["from"], "a");
  EXPECT_EQ(plan["stages"][1]["parameters"], plan["model"]["parameters"]);
  EXPECT_EQ(plan["total"]["seconds"], 2.0);
  EXPECT_EQ(plan["budget"]["met"], true);
  EXPECT_FALSE(fs::exists(root_ / "run"));
}

TEST_F(ValidateTest, HumanBytes) {
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.0 kB");
  EXPECT_EQ(human_bytes(999'950), "1.0 MB");
  EXPECT_EQ(human_bytes(2'147'483'648), "2.1 GB");
}

TEST_F(ValidateTest, BuiltinRecipeIsTheShippedOne) {
  EXPECT_EQ(assets::quickstart_yaml(),
            slurp(fs::path(ATTAR_SOURCE_DIR) / "recipes" / "quickstart.yaml"));
  Problems problems;
  const Recipe r = load_named_recipe(std::string(kQuickstart), {}, {}, problems);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(r.output, fs::current_path() / "attar-quickstart");
}

}  // namespace
}  // namespace attar::testing
