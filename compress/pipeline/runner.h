// Runs a recipe: stages in order, each cached, committed atomically and recorded in a manifest.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "compress/pipeline/evaluation.h"
#include "compress/pipeline/report.h"
#include "compress/pipeline/stage.h"
#include "compress/recipe/recipe.h"

namespace attar {

/// What the runner is given by the command, which alone knows all areas.
struct Toolbox {
  std::span<const StageType> stages;
  std::vector<std::string> metrics;
  EvaluateFunction evaluate = nullptr;
};

struct RunOptions {
  std::string until;    // last stage to run; "" = all
  bool fresh = false;   // ignore what is cached
  int threads = 0;      // 0 = all
  std::string command;  // for the report
};

struct RunResult {
  std::filesystem::path report;
  bool gates_passed = true;
};

/// Checks that need the stage table: types, options, references, duplicate names, metrics, gates, data files.
void validate_recipe(const Recipe& recipe, const Toolbox& tools, Problems& problems);

/// True when a stage that trains is not cached yet (the command then needs LibTorch).
bool needs_training(const Recipe& recipe, const Toolbox& tools, const RunOptions& options);

RunResult run_recipe(const Recipe& recipe, const Toolbox& tools, const RunOptions& options);

/// Per stage, from headers alone.
nlohmann::ordered_json plan_recipe(const Recipe& recipe, const Toolbox& tools);

}  // namespace attar
