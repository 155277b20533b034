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
  std::filesystem::path report;  // report.html
  bool gates_passed = true;
  std::string summary;  // the closing table
};

/// Checks that need the stage table: types, options, references, metrics, gates, data files, the
/// model's place.
void validate_recipe(const Recipe& recipe, const Toolbox& tools, Problems& problems);

/// True when a stage that trains is not cached yet (the command then needs LibTorch).
bool needs_training(const Recipe& recipe, const Toolbox& tools, const RunOptions& options);

/// Runs what is not finished yet, evaluates, writes the report. Throws bad_input before anything is
/// written (validate_recipe's mistakes, the model, the output directory, disk and memory that can't
/// suffice); a stage's own Error otherwise, after a report with the failed row is written;
/// ExitCode::gate when a stage's artifact fails its verification; ExitCode::interrupted after
/// Ctrl-C. Finished stages are kept in every case.
RunResult run_recipe(const Recipe& recipe, const Toolbox& tools, const RunOptions& options);

/// Per stage, from headers alone: {name, output, model, stages: [{name, type, from, parameters,
/// bytes, peak_bytes, seconds, notes}], total, budget}. `recipe` must be valid. Throws bad_input
/// like run_recipe.
nlohmann::ordered_json plan_recipe(const Recipe& recipe, const Toolbox& tools);

}  // namespace attar
