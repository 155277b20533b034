#include "compress/pipeline/plan.h"

#include <fmt/format.h>

#include <map>

#include "compress/architecture/model.h"
#include "compress/pipeline/cache.h"

namespace attar {
namespace {

EstimateInput estimate_model(const std::string& path) {
  const Model model = open_model(path);
  return {model.config, model.spec.parameters(), model.weight_bytes};
}

}  // namespace

RecipePlan estimate_recipe(const Recipe& recipe, const Toolbox& tools) {
  RecipePlan plan;
  plan.model.config = nlohmann::ordered_json::object();
  if (!recipe.model.empty()) plan.model = estimate_model(recipe.model);
  std::map<std::string, EstimateInput> made{{"model", plan.model}};
  for (const auto& spec : recipe.stages) {
    const StageType& type = *find_stage_type(tools, spec.type);
    const EstimateInput& input = made.at(spec.from);
    StageEstimate estimate = type.estimate(spec, recipe, input);
    made[spec.name] = {estimate.config, estimate.parameters, estimate.bytes};
    plan.stages.push_back({&spec, std::move(estimate)});
  }
  return plan;
}

nlohmann::ordered_json plan_recipe(const Recipe& recipe, const Toolbox& tools) {
  const RecipePlan plan = estimate_recipe(recipe, tools);
  nlohmann::ordered_json json = {{"name", recipe.name}, {"output", recipe.output.string()}};
  if (!recipe.model.empty())
    json["model"] = {
        {"path", recipe.model}, {"parameters", plan.model.parameters}, {"bytes", plan.model.bytes}};
  auto& rows = json["stages"] = nlohmann::ordered_json::array();
  uint64_t bytes = 0, peak = 0;
  double seconds = 0;
  for (const auto& [spec, estimate] : plan.stages) {
    rows.push_back({{"name", spec->name},
                    {"type", spec->type},
                    {"from", spec->from},
                    {"parameters", estimate.parameters},
                    {"bytes", estimate.bytes},
                    {"peak_bytes", estimate.peak_bytes},
                    {"seconds", estimate.seconds},
                    {"notes", estimate.notes}});
    bytes += estimate.bytes;
    peak = std::max(peak, estimate.peak_bytes);
    seconds += estimate.seconds;
  }
  if (recipe.sweep) {
    auto& grid = json["sweep"] = {{"models", recipe.sweep->settings.size()}};
    for (const auto& axis : recipe.sweep->axes)
      grid["over"][axis.stage + "." + axis.key] = axis.values;
  }
  json["total"] = {{"bytes", bytes}, {"peak_bytes", peak}, {"seconds", seconds}};
  if (recipe.ram_budget) {
    json["budget"] = {{"ram", *recipe.ram_budget}, {"met", peak <= *recipe.ram_budget}};
  }
  return json;
}

std::string human_bytes(uint64_t bytes) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 999.95 && unit < 4; ++unit) value /= 1000;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace attar
