// Every family through every stage, on a small random model: prints the table family × step.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "compress/architecture/family.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

using Json = nlohmann::json;
using testing::attar;

/// The steps of one family by name.
std::map<std::string, Json> smoke(const std::string& family) {
  const auto result = attar({"smoke", "--family", family, "--skip-training", "--json", "--quiet"});
  std::map<std::string, Json> steps;
  const Json json = Json::parse(result.out, nullptr, false);
  if (json.is_discarded()) {
    ADD_FAILURE() << family << ": exit code " << result.exit_code << "\n" << result.err;
    return steps;
  }
  for (const Json& step : json.at("steps")) steps[step.at("step")] = step;
  EXPECT_EQ(result.exit_code, json.at("ok").get<bool>() ? 0 : 1) << family;
  return steps;
}

/// Prints the table of these families and expects every step of `columns` to be done.
void expect_all(const std::vector<std::string>& names, const std::vector<std::string>& columns) {
  std::string table = fmt::format("{:<14}", "family");
  for (const std::string& column : columns) table += fmt::format("{:<10}", column);
  for (const std::string& name : names) {
    const auto steps = smoke(name);
    double seconds = 0;
    table += fmt::format("\n{:<14}", name);
    for (const std::string& column : columns) {
      const auto found = steps.find(column);
      const Json step = found == steps.end()
                            ? Json{{"result", "absent"}, {"detail", ""}, {"seconds", 0}}
                            : found->second;
      table += fmt::format("{:<10}", step.at("result").get<std::string>());
      seconds += step.at("seconds").get<double>();
      EXPECT_EQ(step.at("result"), "ok") << name << ", " << column << ": " << step.at("detail");
    }
    table += fmt::format("{:.1f} s", seconds);
  }
  fmt::print("{}\n", table);
}

TEST(Smoke, TakesEveryFamilyThroughEveryStageThatDoesNotTrain) {
  std::vector<std::string> names;
  for (const Family& family : families()) names.emplace_back(family.name);
  expect_all(names, {"model", "runtime", "prune", "gptq", "evaluate"});
}

}  // namespace
}  // namespace attar
