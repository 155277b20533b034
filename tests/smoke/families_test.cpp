// Every family through every stage, on a small random model: prints the table family × step, with
// the largest difference between what the runtime and what another way computes.
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

#ifdef ATTAR_WITH_TRAINING
constexpr bool kTrains = true;
#else
constexpr bool kTrains = false;
#endif

/// The steps of one family by name.
std::map<std::string, Json> smoke(const Family& family, bool train) {
  std::vector<std::string> args = {"smoke", "--family", std::string(family.name), "--json",
                                   "--quiet"};
  if (!train) args.push_back("--skip-training");
  const auto result = attar(args);
  std::map<std::string, Json> steps;
  const Json json = Json::parse(result.out, nullptr, false);
  if (json.is_discarded()) {
    ADD_FAILURE() << family.name << ": exit code " << result.exit_code << "\n" << result.err;
    return steps;
  }
  for (const Json& step : json.at("steps")) steps[step.at("step")] = step;
  EXPECT_EQ(result.exit_code, json.at("ok").get<bool>() ? 0 : 1) << family.name;
  return steps;
}

/// What a step says of itself in the table: its result, or how far from the runtime it is.
std::string cell(const Json& step) {
  constexpr std::string_view kDistance = "largest difference to the runtime ";
  const std::string detail = step.at("detail");
  if (step.at("result") == "ok" && detail.starts_with(kDistance))
    return "≤ " + detail.substr(kDistance.size());
  return step.at("result");
}

/// Where a family cannot go, and why.
bool cannot(const Family& family, const std::string& column) {
  // Its classifier has a ReLU where llama.cpp's graph has a tanh.
  return family.name == "distilbert" && column.starts_with("gguf");
}

TEST(Smoke, TakesEveryFamilyThroughEveryStage) {
  std::vector<std::string> columns = {"model",  "runtime", "torch", "gguf out", "gguf in", "prune",
                                      "distil", "lora",    "gptq",  "awq",      "evaluate"};
  if (!kTrains)
    std::erase_if(columns, [](const std::string& column) {
      return column == "torch" || column == "distil" || column == "lora";
    });
  std::string table = fmt::format("{:<12}", "family");
  for (const std::string& column : columns) table += fmt::format("{:<10}", column);
  for (const Family& family : families()) {
    const auto steps = smoke(family, kTrains);
    table += fmt::format("\n{:<12}", family.name);
    for (const std::string& column : columns) {
      const auto found = steps.find(column);
      if (found == steps.end()) {
        ADD_FAILURE() << family.name << ": no step " << column;
        continue;
      }
      table += fmt::format("{:<10}", cell(found->second));
      EXPECT_EQ(found->second.at("result"), cannot(family, column) ? "-" : "ok")
          << family.name << ", " << column << ": " << found->second.at("detail");
    }
  }
  fmt::print("{}\n", table);
}

}  // namespace
}  // namespace attar
