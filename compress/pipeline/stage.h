// A stage: reads a model directory, writes a smaller or better one, reports what it did. One row
// per type in the table of cli/stage_table.cpp.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "compress/data/dataset.h"
#include "compress/formats/weights.h"
#include "compress/recipe/options.h"
#include "compress/recipe/recipe.h"

namespace attar {

/// Something that could not be done as asked and was done otherwise.
struct Fallback {
  std::string what, where, why;
};

/// One check of the emitted artifact after reading it back.
struct Check {
  std::string name;
  bool passed = false;
  std::string detail;
};

/// What a stage says about its work; becomes its rows in report.json.
struct StageReport {
  std::vector<Fallback> fallbacks;
  std::vector<Check> checks;  // verification.passed = all passed
  nlohmann::ordered_json layers =
      nlohmann::ordered_json::array();  // per-layer losses, where there are any
  nlohmann::ordered_json facts =
      nlohmann::ordered_json::object();  // anything measured: tokens, damping …
  nlohmann::ordered_json curves =
      nlohmann::ordered_json::object();  // name -> [[x, y], …] (training loss)
};

/// A row for texts of data entry `data` that lost `dropped` tokens in all, none without any; a text
/// has at most `longest` ids.
inline void note_cut_texts(const std::string& data, int64_t dropped, int64_t longest,
                           StageReport& report) {
  if (dropped > 0)
    report.fallbacks.push_back({fmt::format("texts were cut: {} tokens dropped", dropped), data,
                                fmt::format("a text has at most {} ids (window)", longest)});
}

/// Everything a running stage may use.
struct StageContext {
  const Recipe& recipe;
  const StageSpec& spec;
  std::filesystem::path input;   // model directory of `from`; empty when training from scratch
  std::filesystem::path output;  // empty directory that exists; write output/"model"
  std::filesystem::path
      scratch;    // survives an interruption: checkpoints for resume; removed after success
  uint64_t seed;  // of this stage: derived from the recipe's seed and the stage's name
  int threads;
  StageReport& report;
  /// The model directory of a stage's name or "model".
  std::function<std::filesystem::path(const std::string& name)> model_of;

  /// Where the run keeps distributions of its models, see compress/distributions.
  std::filesystem::path distributions = {};

  /// The stage's options, already validated.
  template <class Options>
  Options options() const {
    Problems problems;
    auto parsed = parse_options<Options>(spec.options, problems, kStageKeys);
    problems.throw_if_any();
    return parsed;
  }
};

/// What a stage will need and make, from headers alone.
struct StageEstimate {
  nlohmann::ordered_json config;  // config.json of what it emits
  int64_t parameters = 0;
  uint64_t bytes = 0;       // on disk
  uint64_t peak_bytes = 0;  // memory
  double seconds = 0;
  std::vector<std::string>
      notes;  // legality, divisibility: "down_proj: 172 columns are no multiple of 32"
};

/// Where an estimate starts: what the stage before emits.
struct EstimateInput {
  nlohmann::ordered_json config;  // empty object when there is none
  int64_t parameters = 0;
  uint64_t bytes = 0;
};

/// One row of the stage table.
struct StageType {
  std::string_view name, summary;
  bool trains = false;      // needs LibTorch
  bool needs_model = true;  // false: may start from nothing (train)
  std::vector<FieldInfo> (*describe)() = nullptr;
  /// Resolved options for manifest and cache key; mistakes go to `problems`.
  nlohmann::ordered_json (*resolve)(const Node& options, Problems& problems) = nullptr;
  /// Names that the options refer to: {data entries, stages}; used for checks and the cache key. A
  /// stage with a
  /// '/' is a directory instead, relative to the recipe file: an adapter, a tokenizer.
  std::function<void(const Node& options, std::vector<std::string>& data,
                     std::vector<std::string>& stages)>
      references;
  StageEstimate (*estimate)(const StageSpec& spec, const Recipe& recipe,
                            const EstimateInput& input) = nullptr;
  void (*run)(StageContext& context) = nullptr;  // null: not in this program (see `trains`)
};

template <class Options>
nlohmann::ordered_json resolve_options(const Node& node, Problems& problems) {
  return dump_options(parse_options<Options>(node, problems, kStageKeys));
}

}  // namespace attar
