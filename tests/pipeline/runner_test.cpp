// Caching, replacement, failure and gates of the runner, on stages that only scale weights.
#include "compress/base/hash.h"
#include "compress/pipeline/manifest.h"
#include "tests/pipeline/fake_stages.h"

namespace attar::testing {
namespace {

TEST_F(RunnerTest, WritesArtifactsAndReports) {
  const Recipe r = recipe(kTwoStages, "evaluate: {data: ids, metrics: [perplexity]}\n");
  const RunResult result = run(r);
  EXPECT_TRUE(result.gates_passed);
  EXPECT_EQ(result.report, root_ / "run" / "report.html");
  EXPECT_FALSE(result.summary.empty());
  for (const char* file :
       {"recipe.yaml", "report.json", "report.md", "report.html", "a/manifest.json",
        "a/report.json", "a/model/config.json", "b/model/model.safetensors"})
    EXPECT_TRUE(fs::exists(root_ / "run" / file)) << file;
  const auto json = report();
  ASSERT_EQ(json["stages"].size(), 2u);
  const auto& row = json["stages"][0];
  EXPECT_EQ(row["name"], "a");
  EXPECT_EQ(row["type"], "scale");
  EXPECT_EQ(row["status"], "done");
  EXPECT_GT(row["seconds"], 0.0);
  EXPECT_GT(row["peak_rss_bytes"], 0);
  EXPECT_EQ(row["bits_per_weight"], 32.0);
  const fs::path emitted = root_ / "run" / "a" / "model";  // the card comes on top of the model
  EXPECT_EQ(row["bytes_on_disk"], bytes_on_disk(emitted) - fs::file_size(emitted / "README.md"));
  EXPECT_EQ(row["verification"]["passed"], true);
  EXPECT_EQ(row["fallbacks"].size(), 1u);
  const ModelDirectory model = ModelDirectory::open(root_ / "model");
  EXPECT_EQ(row["parameters"], read_model_spec(model.config, "").parameters());
  EXPECT_EQ(json["evaluation"].size(), 3u);
  EXPECT_EQ(json["evaluation"][0]["model"], "model");
  EXPECT_EQ(json["recipe_sha256"], r.sha256);
  EXPECT_FALSE(fs::exists(root_ / "run" / ".scratch" / "a"));
}

TEST_F(RunnerTest, SecondRunIsCached) {
  const Recipe r = recipe(kTwoStages);
  run(r);
  const auto before = report();
  const std::string manifest = slurp(root_ / "run" / "b" / "manifest.json");
  run(r);
  EXPECT_EQ(run_counts()["a"], 1);
  EXPECT_EQ(run_counts()["b"], 1);
  EXPECT_EQ(slurp(root_ / "run" / "b" / "manifest.json"), manifest);
  auto after = report();
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(after["stages"][i]["status"], "cached");
    after["stages"][i]["status"] = "done";
  }
  EXPECT_EQ(after["stages"], before["stages"]);
}

TEST_F(RunnerTest, ChangedOptionRunsOnlyDownstream) {
  run(recipe(kTwoStages));
  run(
      recipe("  - {name: a, type: scale, factor: 0.5}\n"
             "  - {name: b, type: scale, factor: 0.125, data: ids}\n"));
  EXPECT_EQ(run_counts()["a"], 1);
  EXPECT_EQ(run_counts()["b"], 2);
  run(
      recipe("  - {name: a, type: scale, factor: 2}\n"
             "  - {name: b, type: scale, factor: 0.125, data: ids}\n"));
  EXPECT_EQ(run_counts()["a"], 2);
  EXPECT_EQ(run_counts()["b"], 3);
}

TEST_F(RunnerTest, ChangedDataModelOrSeedRunsAgain) {
  const std::string stages = "  - {name: a, type: scale, mode: noise, data: ids}\n";
  run(recipe(stages));
  const std::string first = weights("a");
  std::vector<int64_t> ids(64, 5);
  SafetensorsWriter writer(root_ / "ids.safetensors", {{"input_ids", DType::i64, {2, 32}}});
  writer.write("input_ids", std::as_bytes(std::span(ids)));
  writer.finish();
  run(recipe(stages));
  EXPECT_EQ(run_counts()["a"], 2);
  EXPECT_EQ(weights("a"), first);
  fs::copy(root_ / "run" / "a" / "model" / "model.safetensors",
           root_ / "model" / "model.safetensors", fs::copy_options::overwrite_existing);
  run(recipe(stages));
  EXPECT_EQ(run_counts()["a"], 3);
  Recipe other = recipe(stages);
  other.seed = 4;
  run(other);
  EXPECT_EQ(run_counts()["a"], 4);
  EXPECT_NE(weights("a"), first);
}

TEST_F(RunnerTest, EqualParentKeepsWhatFollows) {
  run(recipe(kTwoStages));
  // Another way to the same bytes: the stage runs again, what follows is still good.
  run(
      recipe("  - {name: a, type: scale, factor: 0.5, teacher: model}\n"
             "  - {name: b, type: scale, factor: 0.25, data: ids}\n"));
  EXPECT_EQ(run_counts()["a"], 2);
  EXPECT_EQ(run_counts()["b"], 1);
}

TEST_F(RunnerTest, ReferencedStageIsAParent) {
  const std::string rest = "  - {name: b, type: scale, from: model, teacher: a}\n";
  run(recipe("  - {name: a, type: scale, factor: 0.5}\n" + rest));
  run(recipe("  - {name: a, type: scale, factor: 0.25}\n" + rest));
  EXPECT_EQ(run_counts()["b"], 2);
}

TEST_F(RunnerTest, UntilAndFresh) {
  RunOptions options;
  options.until = "a";
  run(recipe(kTwoStages), options);
  EXPECT_FALSE(fs::exists(root_ / "run" / "b"));
  EXPECT_EQ(report()["stages"].size(), 1u);
  options.until.clear();
  options.fresh = true;
  const std::string before = weights("a");
  run(recipe(kTwoStages), options);
  EXPECT_EQ(run_counts()["a"], 2);
  EXPECT_EQ(weights("a"), before);
  options.until = "c";
  EXPECT_EQ(failed_run(recipe(kTwoStages), options).code(), ExitCode::bad_input);
}

TEST_F(RunnerTest, DamagedCachedArtifactRunsAgain) {
  run(recipe(kTwoStages));
  const std::string before = weights("a");
  auto bytes = before;
  bytes[bytes.size() / 2] ^= 1;
  std::ofstream(root_ / "run" / "a" / "model" / "model.safetensors", std::ios::binary) << bytes;
  run(recipe(kTwoStages));
  EXPECT_EQ(run_counts()["a"], 2);
  EXPECT_EQ(run_counts()["b"], 1);
  EXPECT_EQ(weights("a"), before);
}

TEST_F(RunnerTest, FailureKeepsEarlierStagesAndIsReported) {
  run(recipe("  - {name: a, type: scale, factor: 0.5}\n  - {name: b, type: scale}\n"));
  const std::string old = weights("b");
  const Error e =
      failed_run(recipe("  - {name: a, type: scale, factor: 0.25}\n"
                        "  - {name: b, type: scale, mode: throw}\n"));
  EXPECT_EQ(e.code(), ExitCode::failed);
  EXPECT_NE(std::string(e.what()).find("stage 'b': it went wrong"), std::string::npos) << e.what();
  const auto json = report();
  ASSERT_EQ(json["stages"].size(), 2u);
  EXPECT_EQ(json["stages"][0]["status"], "done");
  EXPECT_EQ(json["stages"][1]["status"], "failed");
  EXPECT_NE(json.dump().find("it went wrong"), std::string::npos);
  EXPECT_EQ(weights("b"), old) << "a failed stage leaves its previous artifact in place";
  EXPECT_TRUE(verify_artifact(root_ / "run" / "a").empty());
  for (const auto& entry : fs::directory_iterator(root_ / "run"))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".partial")) << entry.path();
}

TEST_F(RunnerTest, ArtifactThatFailsVerificationIsNotKept) {
  for (const char* mode : {"nan", "truncate"}) {
    const Error e =
        failed_run(recipe("  - {name: a, type: scale, mode: " + std::string(mode) + "}\n"));
    EXPECT_EQ(e.code(), ExitCode::gate);
    EXPECT_NE(std::string(e.what()).find("verification failed"), std::string::npos) << e.what();
    EXPECT_FALSE(fs::exists(root_ / "run" / "a"));
    EXPECT_EQ(report()["stages"][0]["verification"]["passed"], false);
  }
}

TEST_F(RunnerTest, RefusedInputLeavesNothing) {
  const Error e = failed_run(recipe("  - {name: a, type: scale, mode: refuse}\n"));
  EXPECT_EQ(e.code(), ExitCode::bad_input);
  EXPECT_EQ(e.where(), "tensor x");
  EXPECT_EQ(e.hint(), "use another");
  EXPECT_FALSE(fs::exists(root_ / "run"));
  // Once something was made it is a failure while working.
  EXPECT_EQ(
      failed_run(recipe("  - {name: a, type: scale}\n  - {name: b, type: scale, mode: refuse}\n"))
          .code(),
      ExitCode::failed);
  EXPECT_TRUE(fs::exists(root_ / "run" / "a" / "manifest.json"));
}

TEST_F(RunnerTest, GatesAreJudgedAfterTheReport) {
  const std::string stages = "  - {name: good, type: scale}\n  - {name: bad, type: scale}\n";
  const std::string evaluate = "evaluate: {data: ids, metrics: [perplexity]}\n";
  EXPECT_TRUE(
      run(recipe(stages, evaluate + "gates: {good: {recovery: 0.95, perplexity_max: 10}}\n"))
          .gates_passed);
  EXPECT_FALSE(run(recipe(stages, evaluate + "gates: {bad: {recovery: 0.95}}\n")).gates_passed);
  EXPECT_NE(report().dump().find("recovery is 0.5000"), std::string::npos);
  EXPECT_FALSE(run(recipe(stages, evaluate + "gates: {bad: {perplexity_max: 15}}\n")).gates_passed);
  EXPECT_FALSE(run(recipe(stages, evaluate + "gates: {good: {kl_mean_max: 15}}\n")).gates_passed)
      << "what was not measured is not passed";
}

TEST_F(RunnerTest, UserFilesAreNeverReplaced) {
  fs::create_directories(root_ / "run" / "b");
  std::ofstream(root_ / "run" / "b" / "thesis.txt") << "mine";
  EXPECT_EQ(failed_run(recipe(kTwoStages)).code(), ExitCode::bad_input);
  EXPECT_EQ(slurp(root_ / "run" / "b" / "thesis.txt"), "mine");
  EXPECT_FALSE(fs::exists(root_ / "run" / "a"));

  std::ofstream(root_ / "run" / "b" / "manifest.json") << R"({"name": "a web page's"})";
  EXPECT_EQ(failed_run(recipe(kTwoStages)).code(), ExitCode::bad_input);
  fs::remove_all(root_ / "run" / "b");

  std::ofstream(root_ / "run" / "report.md") << "mine";
  EXPECT_EQ(failed_run(recipe(kTwoStages)).code(), ExitCode::bad_input);
  EXPECT_EQ(slurp(root_ / "run" / "report.md"), "mine");
}

TEST_F(RunnerTest, OutputOfAnotherRecipeIsRefused) {
  run(recipe(kTwoStages));
  Recipe other = recipe(kTwoStages);
  other.name = "another";
  const Error e = failed_run(other);
  EXPECT_EQ(e.code(), ExitCode::bad_input);
  EXPECT_NE(std::string(e.what()).find("belongs to recipe 't'"), std::string::npos) << e.what();
}

TEST_F(RunnerTest, BudgetIsEnforced) {
  const std::string stages = "  - {name: a, type: scale, parameters: 2048}\n";
  const Error e = failed_run(recipe(stages, "budget: {ram: 1G}\n"));
  EXPECT_EQ(e.code(), ExitCode::bad_input);
  EXPECT_NE(std::string(e.what()).find("2.1 GB"), std::string::npos) << e.what();
  EXPECT_FALSE(fs::exists(root_ / "run"));
  run(recipe("  - {name: a, type: scale}\n", "budget: {ram: 1M}\n"));
  EXPECT_NE(report()["notes"].dump().find("more than the budget"), std::string::npos);
}

TEST_F(RunnerTest, NeedsTrainingUntilItIsCached) {
  const Recipe r = recipe("  - {name: a, type: scale}\n  - {name: b, type: train}\n");
  EXPECT_TRUE(needs_training(r, fake_toolbox(), {}));
  RunOptions first;
  first.until = "a";
  EXPECT_FALSE(needs_training(r, fake_toolbox(), first));
  run(r);
  EXPECT_FALSE(needs_training(r, fake_toolbox(), {}));
  EXPECT_TRUE(
      needs_training(recipe("  - {name: a, type: scale, factor: 3}\n  - {name: b, type: train}\n"),
                     fake_toolbox(), {}));
}

}  // namespace
}  // namespace attar::testing
