// Runs one stage on a model directory, as the runner would.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "compress/base/random.h"
#include "compress/formats/safetensors.h"
#include "compress/pipeline/stage.h"
#include "tests/support/fixtures.h"
#include "tests/support/temporary_directory.h"

namespace attar {

/// Random ids [windows, length] in a file for `format: ids`.
inline fs::path write_ids(const fs::path& directory, int64_t windows, int64_t length,
                          int64_t vocab) {
  Random random(11);
  std::vector<int64_t> ids(static_cast<size_t>(windows * length));
  for (int64_t& id : ids) id = static_cast<int64_t>(random.below(static_cast<uint64_t>(vocab)));
  const fs::path path = directory / "ids.safetensors";
  SafetensorsWriter writer(path, {{"input_ids", DType::i64, {windows, length}}});
  writer.write("input_ids", std::as_bytes(std::span(ids)));
  writer.finish();
  return path;
}

struct StageRun {
  std::unique_ptr<TemporaryDirectory> home;
  fs::path output, model;  // model = output/"model"
  StageReport report;
};

/// `options` is the stage's YAML map without braces, "method: rtn, group_size: 16". Throws what the
/// stage throws; mistakes in the options are thrown as from validation. `data` (ids, or a text) is
/// called calibration. With `scratch`, that directory is used for resume.
inline StageRun run_stage(const StageType& type, const fs::path& model, const fs::path& data,
                          const std::string& options, const fs::path& scratch = {}) {
  StageRun result;
  result.home = std::make_unique<TemporaryDirectory>();
  const fs::path home = result.home->path();
  std::string yaml = "attar: 1\nname: test\nseed: 7\noutput: out\nmodel: " + model.string() + "\n";
  if (!data.empty()) yaml += "data:\n  calibration: {path: " + data.string() + "}\n";
  yaml += "stages:\n  - {name: it, type: " + std::string(type.name) + ", " + options + "}\n";
  Problems problems;
  const Recipe recipe = parse_recipe(yaml, "recipe.yaml", home, {}, std::nullopt, problems);
  type.resolve(recipe.stages.at(0).options, problems);
  problems.throw_if_any();
  result.output = home / "it";
  result.model = result.output / "model";
  const fs::path own_scratch = scratch.empty() ? home / "scratch" : scratch;
  fs::create_directories(result.output);
  fs::create_directories(own_scratch);
  StageContext context{.recipe = recipe,
                       .spec = recipe.stages.at(0),
                       .input = model,
                       .output = result.output,
                       .scratch = own_scratch,
                       .seed = 7,
                       .threads = 2,
                       .report = result.report,
                       .model_of = [&](const std::string&) { return model; }};
  type.run(context);
  return result;
}

inline fs::path golden_model(const std::string& name) {
  return fixture(name);
}

inline bool all_passed(const StageReport& report) {
  for (const Check& check : report.checks)
    if (!check.passed) return false;
  return !report.checks.empty();
}

}  // namespace attar
