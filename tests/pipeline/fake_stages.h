// A runner's world without LibTorch and without real methods: one stage type that scales every
// weight of its input model, and does on request what can go wrong.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <thread>

#include "compress/architecture/family.h"
#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/formats/model_writer.h"
#include "compress/formats/safetensors.h"
#include "compress/pipeline/runner.h"
#include "tests/support/run_command.h"

namespace attar::testing {

struct ScaleOptions {
  double factor = 1;
  std::string data, teacher, mode = "work";
  int64_t steps = 0, parameters = 0;

  template <class Visitor>
  void fields(Visitor& v) {
    v("factor", factor, "multiplies every weight");
    v("data", data, "a data entry that is referred to");
    v("teacher", teacher, "a stage that is referred to");
    v("mode", mode, "what goes wrong",
      one_of("work", "throw", "refuse", "nan", "truncate", "noise", "slow", "interrupt"));
    v("steps", steps, "slow: steps, each kept in the scratch directory", at_least(0));
    v("parameters", parameters, "megabytes that the estimate claims", at_least(0));
  }
};

/// How often a stage of each name ran in this process.
inline std::map<std::string, int>& run_counts() {
  static std::map<std::string, int> counts;
  return counts;
}

/// Continues from the number in scratch/step, one step every 20 ms; stands for a training that
/// resumes.
inline void slow_steps(const StageContext& context, int64_t steps) {
  int64_t done = 0;
  std::ifstream(context.scratch / "step") >> done;
  for (; done < steps; ++done) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    check_interrupted();
    write_file(context.scratch / "step", std::to_string(done + 1));
    ++run_counts()["steps"];
  }
}

inline void run_scale(StageContext& context) {
  const auto options = context.options<ScaleOptions>();
  ++run_counts()[context.spec.name];
  if (options.mode == "throw") throw std::runtime_error("it went wrong");
  if (options.mode == "refuse")
    throw bad_input("this input can't be used", "tensor x", "use another");
  if (options.mode == "interrupt") ::kill(::getpid(), SIGINT);
  const ModelDirectory input = ModelDirectory::open(context.input);
  std::vector<TensorPlan> plan;
  for (const auto& info : input.weights->list())
    plan.push_back({info.name, info.shape, DType::f32, {}});
  fs::create_directory(context.output / "model");
  ModelWriter writer(context.output / "model", input.config, plan, context.input);
  slow_steps(context, options.steps);
  for (const auto& tensor : plan) {
    auto values = input.weights->floats(tensor.name);
    for (float& value : values) value *= static_cast<float>(options.factor);
    if (options.mode == "nan") values[0] = std::nanf("");
    if (options.mode == "noise") values[0] = static_cast<float>(context.seed % 1000);
    writer.write(tensor.name, values);
  }
  writer.finish();
  if (options.mode == "truncate")
    fs::resize_file(context.output / "model" / "model.safetensors", 5000);
  context.report.fallbacks.push_back({"nothing", "nowhere", "to see it in the report"});
  context.report.facts["factor"] = options.factor;
}

inline StageEstimate estimate_scale(const StageSpec& spec, const Recipe&,
                                    const EstimateInput& input) {
  Problems ignored;
  const auto options = parse_options<ScaleOptions>(spec.options, ignored, kStageKeys);
  StageEstimate estimate;
  estimate.config = input.config;
  estimate.parameters = input.parameters;
  estimate.bytes = input.bytes;
  estimate.peak_bytes = static_cast<uint64_t>(options.parameters) << 20;
  estimate.seconds = 1;
  return estimate;
}

inline void scale_references(const Node& node, std::vector<std::string>& data,
                             std::vector<std::string>& stages) {
  Problems ignored;
  const auto options = parse_options<ScaleOptions>(node, ignored, kStageKeys);
  if (!options.data.empty()) data.push_back(options.data);
  if (!options.teacher.empty()) stages.push_back(options.teacher);
}

/// Perplexity 10 for every model but "bad", which gets 20.
inline EvaluationResult evaluate_fake(const EvaluationRequest& request) {
  EvaluationResult result;
  for (const auto& model : request.models) {
    EXPECT_TRUE(fs::exists(model.directory / "config.json")) << model.directory;
    EvaluationRow row;
    row.model = model.name;
    row.metric = "perplexity";
    row.protocol = "gptq";
    row.value = model.name == "bad" ? 20 : 10;
    row.n = 1;
    result.rows.push_back(row);
  }
  return result;
}

inline const Toolbox& fake_toolbox() {
  static const auto row = [](bool trains, std::string_view name) {
    StageType type;
    type.name = name;
    type.summary = "scales weights";
    type.trains = trains;
    type.describe = describe_options<ScaleOptions>;
    type.resolve = resolve_options<ScaleOptions>;
    type.references = scale_references;
    type.estimate = estimate_scale;
    type.run = run_scale;
    return type;
  };
  static const std::vector<StageType> kStages = {row(false, "scale"), row(true, "train")};
  static const Toolbox kTools{kStages, {"perplexity", "kl", "kl_mean"}, evaluate_fake};
  return kTools;
}

/// A directory with a model, a file of ids, and recipes that use them.
class RunnerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_quiet(true);
    run_counts().clear();
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = make_test_directory(std::string("runner-") + info->name());
    prepare(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  static void prepare(const fs::path& root) {
    fs::copy(golden("llama_gqa"), root / "model");
    std::vector<int64_t> ids(4 * 32);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int64_t>(i * 37 % 256);
    SafetensorsWriter writer(root / "ids.safetensors", {{"input_ids", DType::i64, {4, 32}}});
    writer.write("input_ids", std::as_bytes(std::span(ids)));
    writer.finish();
  }

  static Recipe recipe_in(const fs::path& root, const std::string& stages,
                          const std::string& more) {
    const std::string text =
        "attar: 1\nname: t\nseed: 3\noutput: run\nmodel: model\ndata:\n"
        "  ids: {path: ids.safetensors, format: ids}\nstages:\n" +
        stages + more;
    Problems problems;
    const Recipe recipe = parse_recipe(text, "recipe.yaml", root, {}, {}, problems);
    problems.throw_if_any();
    return recipe;
  }
  Recipe recipe(const std::string& stages, const std::string& more = "") const {
    return recipe_in(root_, stages, more);
  }

  static RunResult run(const Recipe& recipe, const RunOptions& options = {}) {
    return run_recipe(recipe, fake_toolbox(), options);
  }
  /// The Error that running ends with.
  static Error failed_run(const Recipe& recipe, const RunOptions& options = {}) {
    try {
      run(recipe, options);
    } catch (const Error& e) {
      return e;
    }
    ADD_FAILURE() << "no error";
    return failure("");
  }

  nlohmann::json report() const {
    return nlohmann::json::parse(slurp(root_ / "run" / "report.json"));
  }
  std::string weights(const std::string& stage) const {
    return slurp(root_ / "run" / stage / "model" / "model.safetensors");
  }

  fs::path root_;
};

inline const std::string kTwoStages =
    "  - {name: a, type: scale, factor: 0.5}\n"
    "  - {name: b, type: scale, factor: 0.25, data: ids}\n";

}  // namespace attar::testing
