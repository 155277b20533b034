#include "quantize/spend_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/progress.h"
#include "quantize/calibration.h"
#include "quantize/schemes.h"
#include "quantize/sensitivity.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;

double weights_of(const QuantModule& module) {
  return static_cast<double>(module.linear.out * module.linear.in);
}

/// The budget in bits of all layers together.
double allowed(const QuantPlan& plan, const QuantizeOptions& options) {
  if (options.budget->bytes) return 8.0 * static_cast<double>(*options.budget->bytes);
  double weights = 0;
  for (const QuantModule& module : plan.modules) weights += weights_of(module);
  return *options.budget->bits_per_weight * weights;
}

/// What a layer may get: one number when an override names it.
std::vector<int> bits_of(const QuantModule& module, const QuantizeOptions& options) {
  if (module.layout.bits != find_scheme(options.scheme, "scheme").bits) return {module.layout.bits};
  std::vector<int> bits(options.budget->bits.begin(), options.budget->bits.end());
  std::sort(bits.begin(), bits.end());
  bits.erase(std::unique(bits.begin(), bits.end()), bits.end());
  return bits;
}

std::vector<SensitivityUnit> units_of(const ModelSpec& spec, const QuantPlan& plan,
                                      const QuantizeOptions& options) {
  std::vector<SensitivityUnit> units;
  std::string last;
  for (const QuantModule& module : plan.modules) {
    if (module.block < 0) continue;
    const auto leaders = input_leaders(spec.blocks[static_cast<size_t>(module.block)]);
    const std::string& leader = leaders.at(module.name);
    const std::vector<int> bits = bits_of(module, options);
    if (units.empty() || leader != last || units.back().bits != bits)
      units.push_back({module.block, {}, bits});
    last = leader;
    units.back().modules.push_back(&module);
  }
  return units;
}

Json to_json(const std::vector<BudgetUnit>& units) {
  Json rows = Json::array();
  for (const BudgetUnit& unit : units) {
    Json choices = Json::array();
    for (const auto& choice : unit.choices)
      choices.push_back({{"bits", choice.bits}, {"size_bits", choice.size}, {"kl", choice.loss}});
    rows.push_back({{"modules", unit.modules}, {"choices", std::move(choices)}});
  }
  return rows;
}

std::vector<BudgetUnit> from_json(const Json& rows) {
  std::vector<BudgetUnit> units;
  for (const Json& row : rows) {
    BudgetUnit unit;
    unit.modules = row.at("modules").get<std::vector<std::string>>();
    for (const Json& choice : row.at("choices"))
      unit.choices.push_back({choice.at("bits"), choice.at("size_bits"), choice.at("kl")});
    units.push_back(std::move(unit));
  }
  return units;
}

}  // namespace

void check_budget(const ModelSpec& spec, const QuantPlan& plan, const QuantizeOptions& options,
                  const std::string& where) {
  if (spec.task != Task::causal_lm)
    throw bad_input("a budget is shared out by what next-token predictions suffer, and " +
                        spec.architecture + " makes none",
                    where, "give bits by overrides");
  double least = 0, weights = 0;
  for (const QuantModule& module : plan.modules) {
    QuantLayout layout = module.layout;
    if (module.block >= 0) layout.bits = bits_of(module, options).front();
    least += bits_per_weight(layout, module.linear.in) * weights_of(module);
    weights += weights_of(module);
  }
  if (least > allowed(plan, options))
    throw bad_input(
        fmt::format("the budget is {:.4g} bits a weight, the least that these layers can have is "
                    "{:.4g}",
                    allowed(plan, options) / weights, least / weights),
        where, "offer fewer bits, or larger groups");
}

Json spend_budget(const Model& model, const TokenWindows& windows, const QuantizeOptions& options,
                  const std::filesystem::path& scratch, QuantPlan& plan) {
  const std::vector<SensitivityUnit> open = units_of(model.spec, plan, options);
  const std::filesystem::path kept = scratch / "sensitivity.json";
  std::vector<BudgetUnit> units;
  if (std::filesystem::exists(kept)) {
    units = from_json(Json::parse(read_text(kept)));
  } else {
    const int64_t count = std::min(options.budget->windows, windows.count());
    Progress progress("sensitivity", static_cast<int64_t>(open.size()), "units");
    units = measure_sensitivity(
        model, std::span(windows.ids).first(static_cast<size_t>(count * windows.window)),
        windows.window, open, [&](int64_t unit) { progress.update(unit); });
    progress.update(static_cast<int64_t>(open.size()));
    write_file(kept, to_json(units).dump());
  }
  double size = allowed(plan, options);
  double weights = 0, reached = 0, sum = 0;
  for (const QuantModule& module : plan.modules) {
    weights += weights_of(module);
    if (module.block >= 0) continue;
    const double head = bits_per_weight(module.layout, module.linear.in) * weights_of(module);
    size -= head;
    reached += head;
  }
  const std::vector<size_t> chosen = fit_budget(units, size);
  std::map<std::string, int> bits;
  Json rows = to_json(units);
  for (size_t u = 0; u < units.size(); ++u) {
    const BudgetUnit::Choice& choice = units[u].choices[chosen[u]];
    for (const std::string& module : units[u].modules) bits[module] = choice.bits;
    rows[u]["chosen_bits"] = choice.bits;
    reached += choice.size;
    sum += choice.loss;
  }
  for (QuantModule& module : plan.modules)
    if (const auto found = bits.find(module.name); found != bits.end())
      module.layout.bits = found->second;
  return {{"bits_per_weight", reached / weights},
          {"asked_bits_per_weight", allowed(plan, options) / weights},
          {"measure", "KL to the float model with one unit rounded to nearest, summed"},
          {"expected_kl", sum},
          {"units", std::move(rows)}};
}

}  // namespace attar
