// attar validate: every mistake in a recipe at once. Reads no weights.
#include <fmt/format.h>

#include "compress/base/error.h"
#include "compress/cli/command.h"
#include "compress/pipeline/builtin_recipe.h"

namespace attar::cli {
namespace {

void print_json(const Recipe& recipe, const Problems& problems) {
  nlohmann::ordered_json json;
  json["valid"] = problems.empty();
  json["name"] = recipe.name;
  auto list = nlohmann::ordered_json::array();
  for (const auto& problem : problems.list())
    list.push_back({{"what", problem.what}, {"where", problem.where}, {"hint", problem.hint}});
  json["problems"] = std::move(list);
  fmt::print("{}\n", json.dump(2));
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  std::string path, output;
  std::vector<std::string> overrides;
  options.add_options()                                                               //
      ("recipe", po::value(&path)->required(), "recipe file, or builtin:quickstart")  //
      ("set", po::value(&overrides)->composing(), "key.path=value; may be repeated")  //
      ("output", po::value(&output), "run directory, instead of the recipe's");
  po::positional_options_description positional;
  positional.add("recipe", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;

  Problems problems;
  const auto place = output.empty() ? std::nullopt : std::optional<fs::path>(output);
  const Recipe recipe = load_named_recipe(path, overrides, place, problems);
  validate_recipe(recipe, toolbox(), problems);
  if (parsed.json) {
    print_json(recipe, problems);
    return static_cast<int>(problems.empty() ? ExitCode::ok : ExitCode::bad_input);
  }
  problems.throw_if_any();
  fmt::print("{}: recipe '{}' is valid: {} stages\n", path, recipe.name, recipe.stages.size());
  return 0;
}

}  // namespace

Command validate_command() {
  return {"validate", "RECIPE [options]", "finds every mistake in a recipe; reads no weights",
          "attar validate recipes/stories.yaml\n"
          "attar validate recipe.yaml --set stages.int4.group_size=64 --json",
          run};
}

}  // namespace attar::cli
