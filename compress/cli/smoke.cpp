// attar smoke: the whole chain on a small random model, in seconds.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "compress/architecture/examples.h"
#include "compress/architecture/model.h"
#include "compress/architecture/shrink.h"
#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"
#include "compress/cli/command.h"
#include "compress/cli/random_model.h"
#include "compress/cli/smoke_recipe.h"
#include "compress/cli/smoke_steps.h"
#include "compress/cli/training.h"
#include "compress/formats/safetensors.h"
#include "compress/pipeline/builtin_recipe.h"

namespace attar::cli {
namespace {

/// A directory that goes when the run ends, however it ends.
class TemporaryDirectory {
 public:
  TemporaryDirectory()
      : path_(fs::temp_directory_path() / fmt::format("attar-smoke-{}", ::getpid())) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// The trainable model's results beside the runtime's.
std::string compare_backends(const fs::path& directory, const std::vector<float>& expected) {
  const ModelSpec spec = open_model(directory / "model").spec;
  const fs::path input = directory / "in.safetensors", output = directory / "out.safetensors";
  SafetensorsWriter writer(input, {{"input_ids", DType::i64, {1, kSmokeIds}}});
  std::vector<int64_t> ids;
  for (const int32_t id : smoke_ids(spec.vocab)) ids.push_back(id);
  writer.write("input_ids", std::as_bytes(std::span(ids)));
  writer.finish();
  training_backend()->logits(directory / "model", {}, input, output);
  const char* name = spec.task == Task::embed ? "embedding" : "logits";
  const auto found = Safetensors::open(output).at(name).floats();
  return difference(found, expected);
}

/// The model before any stage: does it load, and do both implementations agree?
void check_model(const fs::path& directory, Outcome& outcome) {
  std::vector<float> results;
  const bool runs = outcome.step("runtime", "logits", [&] {
    const Model opened = open_model(directory / "model");
    const bool writes = opened.spec.task == Task::causal_lm;
    results = results_of(opened);
    return fmt::format("{} ids, the same {}", kSmokeIds,
                       writes ? "one by one" : "beside another text");
  });
  if (runs && training_backend())
    outcome.step("torch", "logits", [&] { return compare_backends(directory, results); });
  if (runs) check_gguf(directory, results, outcome);
}

/// Stages that a stage's options refer to.
std::vector<std::string> references_of(const StageSpec& stage) {
  std::vector<std::string> data, stages;
  for (const StageType& type : toolbox().stages)
    if (type.name == stage.type && type.references) type.references(stage.options, data, stages);
  return stages;
}

std::string describe(const fs::path& model) {
  if (!fs::exists(model)) return "no model of its own";
  const Model opened = open_model(model);
  return fmt::format("{} layers, {} parameters", opened.spec.blocks.size(),
                     opened.spec.parameters());
}

/// Runs stage after stage; what comes after a failed one goes on from the model before it.
void run_stages(Recipe recipe, Outcome& outcome) {
  const auto evaluate = std::exchange(recipe.evaluate, std::nullopt);
  RunOptions options;
  options.threads = thread_count();
  std::vector<std::string> failed;
  const auto is_failed = [&](const std::string& name) {
    return std::find(failed.begin(), failed.end(), name) != failed.end();
  };
  Recipe part = recipe;
  part.stages.clear();
  for (StageSpec stage : recipe.stages) {
    while (is_failed(stage.from)) stage.from = recipe.find_stage(stage.from)->from;
    const auto references = references_of(stage);
    const auto missing = std::find_if(references.begin(), references.end(), is_failed);
    bool done = false;
    if (missing != references.end()) {
      outcome.skip(stage.name, stage.type, "needs " + *missing);
    } else {
      part.stages.push_back(stage);
      options.until = stage.name;
      done = outcome.step(stage.name, stage.type, [&] {
        run_recipe(part, toolbox(), options);
        return describe(recipe.output / stage.name / "model");
      });
    }
    if (done) continue;
    failed.push_back(stage.name);
    if (!part.stages.empty() && part.stages.back().name == stage.name) part.stages.pop_back();
  }
  if (!evaluate) return;
  part.evaluate = evaluate;
  std::erase_if(part.evaluate->models, is_failed);
  options.until.clear();
  outcome.step("evaluate", "", [&] {
    if (part.stages.empty()) throw failure("no stage is left to evaluate");
    run_recipe(part, toolbox(), options);
    return fmt::format("{} stages", part.stages.size());
  });
}

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const Family& family : families()) names.emplace_back(family.name);
  return names;
}

bool is_family(const std::string& name) {
  const auto names = family_names();
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool trains(const StageSpec& stage) {
  for (const StageType& type : toolbox().stages)
    if (type.name == stage.type) return type.trains;
  return false;
}

struct SmokeOptions {
  bool json = false, skip_training = false;
};

/// Leaves out stages that train, and says so; what came after one goes on from what was before it.
void leave_out_training(Recipe& recipe, Outcome& outcome) {
  std::map<std::string, std::string> before;  // of a stage that is left out
  for (StageSpec& stage : recipe.stages) {
    while (before.contains(stage.from)) stage.from = before.at(stage.from);
    if (!trains(stage)) continue;
    before[stage.name] = stage.from;
    outcome.leave_out(stage.name, stage.type, "--skip-training");
  }
  std::erase_if(recipe.stages, trains);
  if (recipe.evaluate)
    std::erase_if(recipe.evaluate->models,
                  [&](const std::string& name) { return before.contains(name); });
}

int smoke_family(const std::string& name, const SmokeOptions& options) {
  if (!is_family(name))
    throw bad_input("unknown family '" + name + "'", "--family", suggest(name, family_names()));
  const std::string where = "the example of family " + name;
  if (!options.skip_training) require_training();
  const TemporaryDirectory directory;
  Outcome outcome(options.json);
  ModelSpec spec;
  const bool built = outcome.step("model", "random", [&] {
    fs::create_directories(directory.path() / "model");
    spec = write_random_model(shrunken_config(example_config(name), where),
                              directory.path() / "model", {}, 1);
    return describe(directory.path() / "model");
  });
  if (!built) return outcome.finish();
  check_model(directory.path(), outcome);
  Recipe recipe = family_recipe(directory.path(), spec);
  if (options.skip_training) leave_out_training(recipe, outcome);
  run_stages(std::move(recipe), outcome);
  return outcome.finish();
}

int smoke_recipe(const std::string& path, const std::vector<std::string>& overrides,
                 const SmokeOptions& options) {
  Problems problems;
  Recipe recipe = load_named_recipe(path, overrides, std::nullopt, problems);
  validate_recipe(recipe, toolbox(), problems);
  problems.throw_if_any();
  if (!options.skip_training && std::any_of(recipe.stages.begin(), recipe.stages.end(), trains))
    require_training();
  const TemporaryDirectory directory;
  Outcome outcome(options.json);
  const bool built = outcome.step("model", "random", [&] {
    shrink_recipe(recipe, toolbox(), directory.path());
    return recipe.model.empty() ? "the recipe trains its own" : describe(recipe.model);
  });
  if (!built) return outcome.finish();
  if (!recipe.model.empty()) check_model(directory.path(), outcome);
  if (options.skip_training) leave_out_training(recipe, outcome);
  run_stages(std::move(recipe), outcome);
  return outcome.finish();
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  std::string recipe, family;
  std::vector<std::string> overrides;
  SmokeOptions smoke;
  options.add_options()                                                  //
      ("recipe", po::value(&recipe), "recipe file, or a family's name")  //
      ("family", po::value(&family),
       "a family's name, see `attar list architectures`: prune, distil, LoRA, GPTQ, evaluate")  //
      ("skip-training", po::bool_switch(&smoke.skip_training), "leave out stages that train")   //
      ("set", po::value(&overrides)->composing(), "key.path=value, as for `attar run`");
  po::positional_options_description positional;
  positional.add("recipe", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;
  smoke.json = parsed.json;
  if (family.empty() && !fs::exists(recipe) && is_family(recipe))
    family = std::exchange(recipe, std::string());
  if (recipe.empty() == family.empty())
    throw bad_input(
        "give either a recipe or a family", {},
        "attar smoke RECIPE.yaml, or attar smoke " + std::string(families().front().name));
  return family.empty() ? smoke_recipe(recipe, overrides, smoke) : smoke_family(family, smoke);
}

}  // namespace

Command smoke_command() {
  return {"smoke", "RECIPE | FAMILY [options]",
          "runs a recipe's whole chain on a small random model of the same family, in seconds",
          "attar smoke recipes/huggingface.yaml --set model=./my-model --set "
          "data.train.path=text.txt\n"
          "attar smoke qwen3_5",
          run};
}

}  // namespace attar::cli
