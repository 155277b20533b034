// The stages train and distill: the reference trajectory, whole stages on small models, refusals.
#include "distill/training.h"

#include <gtest/gtest.h>

#include "compress/architecture/model.h"
#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/formats/safetensors.h"
#include "compress/model/trainable_model.h"
#include "compress/training/language.h"
#include "compress/training/loop.h"
#include "distill/distill_loss.h"
#include "distill/options.h"
#include "distill/stage.h"

namespace attar {
namespace {

const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden";

std::unique_ptr<TrainableModel> load(const std::string& name, Weights weights) {
  const Model opened = open_model(kGolden / name);
  auto model = std::make_unique<TrainableModel>(opened.spec, Precision::fp32, weights);
  model->load(*opened.weights);
  return model;
}

TEST(Trajectory, DistillationFollowsReference) {
  const auto student = load("llama_tied", Weights::trained),
             teacher = load("llama_gqa", Weights::frozen);
  const auto golden = Safetensors::open(kGolden / "methods/train/golden.safetensors");
  TokenWindows windows;
  windows.window = 24;
  for (const int64_t id : golden.at("input_ids").integers())
    windows.ids.push_back(static_cast<int32_t>(id));
  distill::DistillOptions options;
  options.loss = distill::LossWeights{};
  for (size_t i = 0; i < distill::losses().size(); ++i)
    for (const std::string name : {"kl", "ce"})
      if (distill::losses()[i].name == name) options.loss->weights[i] = 0.5;
  options.temperature = 2;
  options.training.steps = 10;
  options.training.batch = 2;
  options.training.learning_rate = 1e-3;
  options.training.schedule = "constant";
  options.training.warmup = 0;
  const distill::DistillLoss loss(options);
  LanguageObjective objective(*student, windows, nullptr, loss, teacher.get());
  const TrainingResult result =
      train({.model = *student, .objective = objective, .options = options.training});
  const auto expected = nlohmann::ordered_json::parse(
      read_text(kGolden / "methods/train/golden.json"))["kd_adamw"]["losses"];
  const auto& curve = result.curves["loss"];
  ASSERT_EQ(curve.size(), 10u);
  for (size_t i = 0; i < 10; ++i)
    EXPECT_NEAR(curve[i][1].get<double>(), expected[i].get<double>(), i < 3 ? 1e-4 : 1e-2) << i;
}

/// A run directory with a recipe, as the runner would hand it to a stage.
class Stage : public testing::Test {
 protected:
  Stage() : root_(fs::path(testing::TempDir()) / "attar_distill_stage_test") {
    fs::remove_all(root_);
    fs::create_directories(root_ / "scratch");
    std::string text;
    const char* const words[] = {"stream", "window", "matrix", "kernel",
                                 "vector", "tensor", "layer"};
    for (int i = 0; i < 400; ++i)
      text += std::string("int ") + words[i % 7] + "_" + words[i % 5] +
              "(int first, int second) { return first + " + std::to_string(i) + " * second; }\n";
    write_file(root_ / "code.txt", text);
  }
  ~Stage() override { fs::remove_all(root_); }

  /// Runs the recipe's stage `name`, whose output goes to <root>/<name>.
  StageReport run(const std::string& stages, const std::string& name, void (*body)(StageContext&)) {
    Problems problems;
    const Recipe recipe = parse_recipe(
        "attar: 1\nname: t\nseed: 3\noutput: out\n" +
            (model_.empty() ? "" : "model: " + model_ + "\n") +
            "data: {train: {path: code.txt, format: text}}\nstages: [" + stages + "]\n",
        "recipe.yaml", root_, {}, root_, problems);
    problems.throw_if_any();
    StageReport report;
    const StageSpec& spec = *recipe.find_stage(name);
    fs::create_directories(root_ / name);
    fs::create_directories(root_ / "scratch" / name);
    StageContext context{
        .recipe = recipe,
        .spec = spec,
        .input = spec.from == "model" ? fs::path(recipe.model) : root_ / spec.from / "model",
        .output = root_ / name,
        .scratch = root_ / "scratch" / name,
        .seed = 11,
        .threads = 1,
        .report = report,
        .model_of =
            [&](const std::string& other) {
              return other == "model" ? fs::path(recipe.model) : root_ / other / "model";
            },
        .distributions = root_ / "distributions"};
    body(context);
    return report;
  }

  const std::string teacher_ =
      "{name: teacher, type: train, data: train, dtype: fp32, steps: 12, batch: 4, window: 32, "
      "learning_rate: 0.005, tokenizer: {vocab_size: 280}, "
      "architecture: {hidden: 32, ffn: 48, layers: 2, heads: 4, kv_heads: 2, context: 64}}";
  fs::path root_;
  std::string model_;
};

TEST_F(Stage, TrainsFromScratchThenDistils) {
  const StageReport trained = run(teacher_, "teacher", run_train);
  EXPECT_TRUE(trained.checks.at(0).passed) << trained.checks.at(0).detail;
  EXPECT_LT(trained.facts["last_loss"].get<double>(), trained.facts["first_loss"].get<double>());
  EXPECT_TRUE(fs::exists(root_ / "teacher/model/tokenizer.json"));
  EXPECT_EQ(trained.curves["loss"].size(), 12u);

  const StageReport distilled =
      run(teacher_ +
              ", {name: student, type: distill, teacher: teacher, data: train, steps: 4, "
              "batch: 4, window: 32, output_dtype: bfloat16, validation: train}",
          "student", run_distill);
  EXPECT_TRUE(distilled.checks.at(0).passed) << distilled.checks.at(0).detail;
  // Student and teacher start equal: only cross-entropy is left, weighted 0.1.
  EXPECT_LT(distilled.curves["kl"][0][1].get<double>(), 1e-6);
  EXPECT_TRUE(distilled.facts.contains("validation_loss_after"));
  EXPECT_EQ(ModelDirectory::open(root_ / "student/model").weights->list().front().format, "BF16");
}

TEST_F(Stage, LearnsFromWhatWasKeptOfTheTeacher) {
  run(teacher_, "teacher", run_train);
  const auto student = [](const char* name, const std::string& more) {
    return std::string("{name: ") + name +
           ", type: distill, from: start, teacher: teacher, data: train, dtype: fp32, steps: 6, "
           "batch: 2, window: 32" +
           more + "}";
  };
  std::string start = teacher_;
  start.replace(start.find("name: teacher"), 13, "name: start");
  start.replace(start.find("steps: 12"), 9, "steps: 1");
  const std::string stages = teacher_ + ", " + start + ", " + student("live", "") + ", " +
                             student("whole", ", teacher_top_k: 280") + ", " +
                             student("part", ", teacher_top_k: 16") + ", " +
                             student("again", ", teacher_top_k: 16");
  run(stages, "start", run_train);
  const auto kl = [&](const char* name, nlohmann::ordered_json& facts) {
    const StageReport report = run(stages, name, run_distill);
    EXPECT_TRUE(report.checks.at(0).passed) << report.checks.at(0).detail;
    facts = report.facts.value("teacher", nlohmann::ordered_json::object());
    return report.curves["kl"].back()[1].get<double>();
  };
  nlohmann::ordered_json live, whole, part, again;
  const double exact = kl("live", live);
  EXPECT_NEAR(kl("whole", whole), exact, 2e-3 * exact);
  const double kept = kl("part", part);
  EXPECT_LE(kept, exact * 1.02);
  EXPECT_GE(kept, exact * 0.3);  // this teacher is nearly undecided
  EXPECT_EQ(kl("again", again), kept);
  EXPECT_TRUE(live.empty());
  EXPECT_EQ(whole["coverage"].get<double>(), 1);
  EXPECT_EQ(part["top_k"], 16);
  EXPECT_GT(part["windows_computed"].get<int64_t>(), 0);
  EXPECT_EQ(again["windows_computed"], 0);
  EXPECT_EQ(again["windows_found"], part["windows_computed"]);
}

TEST_F(Stage, ContinuesAModelAndRefusesAnotherVocabulary) {
  run(teacher_, "teacher", run_train);
  model_ = (root_ / "teacher/model").string();
  const StageReport continued = run(
      "{name: more, type: train, data: train, steps: 3, batch: 2, window: 16}", "more", run_train);
  EXPECT_TRUE(continued.checks.at(0).passed);

  std::string other = teacher_;
  other.replace(other.find("280"), 3, "300");
  other.replace(other.find("name: teacher"), 13, "name: other");
  run(other, "other", run_train);
  try {
    run(other + ", {name: student, type: distill, teacher: model, data: train, steps: 1}",
        "student", run_distill);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::bad_input);
  }
}

TEST_F(Stage, RefusesAWindowBeyondTheModel) {
  std::string wide = teacher_;
  wide.replace(wide.find("window: 32"), 10, "window: 65");
  EXPECT_THROW(run(wide, "teacher", run_train), Error);
}

}  // namespace
}  // namespace attar
