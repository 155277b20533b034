// attar run: carries out a recipe.
#include <fmt/format.h>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"
#include "compress/cli/command.h"
#include "compress/cli/training.h"
#include "compress/hub/pull.h"
#include "compress/pipeline/builtin_recipe.h"

namespace attar::cli {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text = "attar";
  for (size_t i = 1; i < words.size(); ++i) text += " " + words[i];
  return text;
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  RunOptions run_options;
  std::string path, output;
  std::vector<std::string> overrides;
  options.add_options()                                                             //
      ("recipe", po::value(&path), "recipe file; without one: builtin:quickstart")  //
      ("set", po::value(&overrides)->composing(),
       "key.path=value, for instance stages.slim.keep.ffn=0.5; "
       "may be repeated")                                                       //
      ("output", po::value(&output), "run directory, instead of the recipe's")  //
      ("until", po::value(&run_options.until), "last stage to run")             //
      ("fresh", po::bool_switch(&run_options.fresh), "run stages again that are finished already");
  po::positional_options_description positional;
  positional.add("recipe", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;
  if (path.empty()) {
    path = kQuickstart;
    say("no recipe given: running builtin:quickstart, which trains, compresses and evaluates a "
        "small code "
        "model");
  }

  Problems problems;
  const auto place = output.empty() ? std::nullopt : std::optional<fs::path>(output);
  Recipe recipe = load_named_recipe(path, overrides, place, problems);
  validate_recipe(recipe, toolbox(), problems);
  problems.throw_if_any();
  run_options.threads = thread_count();
  run_options.command = joined(process_arguments());
  if (needs_training(recipe, toolbox(), run_options)) require_training();

  recipe.model = local_model(recipe.model).string();

  const RunResult result = run_recipe(recipe, toolbox(), run_options);
  fmt::print("{}\n{}\n", result.summary, result.report.string());
  return static_cast<int>(result.gates_passed ? ExitCode::ok : ExitCode::gate);
}

}  // namespace

Command run_command() {
  return {
      "run", "[RECIPE] [options]", "runs a recipe: trains, prunes, distils, quantizes, evaluates",
      "attar run\n"
      "attar run recipes/stories.yaml\n"
      "attar run recipes/huggingface.yaml --set model=./my-model --set data.train.path=text.txt\n"
      "attar run recipe.yaml --until slim --output runs/try",
      run};
}

}  // namespace attar::cli
