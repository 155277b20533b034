// attar plan: what a recipe will need and make, from headers alone.
#include <fmt/format.h>

#include <algorithm>

#include "compress/base/files.h"
#include "compress/cli/command.h"
#include "compress/hub/pull.h"
#include "compress/pipeline/builtin_recipe.h"
#include "compress/pipeline/plan.h"

namespace attar::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string bytes_text(const Json& value) {
  return human_bytes(value.get<uint64_t>());
}

std::string parameters_text(int64_t count) {
  return count >= 10'000'000 ? fmt::format("{:.1f} M", static_cast<double>(count) / 1e6)
                             : fmt::format("{}", count);
}

void print_table(const Json& plan) {
  size_t width = 5;
  for (const auto& row : plan["stages"])
    width = std::max(width, row["name"].get<std::string>().size());
  const auto line = [&](const std::string& name, const std::string& type,
                        const std::string& parameters, const std::string& bytes,
                        const std::string& peak, const std::string& time) {
    fmt::print("{:<{}}  {:<9} {:>12} {:>10} {:>12} {:>10}\n", name, width, type, parameters, bytes,
               peak, time);
  };
  line("stage", "type", "parameters", "on disk", "peak memory", "time");
  if (plan.contains("model"))
    line("model", "", parameters_text(plan["model"]["parameters"]),
         bytes_text(plan["model"]["bytes"]), "", "");
  const auto seconds = [](const Json& row) {
    return fmt::format("{:.0f} s", row["seconds"].get<double>());
  };
  for (const auto& row : plan["stages"])
    line(row["name"], row["type"], parameters_text(row["parameters"]), bytes_text(row["bytes"]),
         bytes_text(row["peak_bytes"]), seconds(row));
  const Json& total = plan["total"];
  line("total", "", "", bytes_text(total["bytes"]), bytes_text(total["peak_bytes"]),
       seconds(total));
  for (const auto& row : plan["stages"])
    for (const auto& note : row["notes"])
      fmt::print("{}: {}\n", row["name"].get<std::string>(), note.get<std::string>());
  if (plan.contains("sweep"))
    for (const auto& [option, values] : plan["sweep"]["over"].items())
      fmt::print("sweep over {}: {}\n", option,
                 fmt::join(values.get<std::vector<std::string>>(), ", "));
  if (plan.contains("budget"))
    fmt::print("memory budget {}: {}\n", bytes_text(plan["budget"]["ram"]),
               plan["budget"]["met"].get<bool>() ? "met" : "exceeded; the run would be refused");
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
  Recipe recipe = load_named_recipe(path, overrides, place, problems);
  validate_recipe(recipe, toolbox(), problems);
  problems.throw_if_any();
  recipe.model = local_model(recipe.model).string();
  const Json plan = plan_recipe(recipe, toolbox());
  if (parsed.json)
    fmt::print("{}\n", plan.dump(2));
  else
    print_table(plan);
  return 0;
}

}  // namespace

Command plan_command() {
  return {"plan", "RECIPE [options]", "what a recipe will need and make, before it runs",
          "attar plan recipes/stories.yaml\n"
          "attar plan recipe.yaml --set stages.int4.group_size=64 --json",
          run};
}

}  // namespace attar::cli
