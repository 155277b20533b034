// Metrics: each is one file in eval/metrics/ and one row of the table in eval/metrics/table.cpp.
// The pipeline calls evaluation through this interface (areas are above the pipeline).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "compress/pipeline/report.h"
#include "compress/recipe/recipe.h"

namespace attar {

struct EvaluationModel {
  std::string name;
  std::filesystem::path directory;
};

struct EvaluationRequest {
  std::vector<EvaluationModel> models;
  std::optional<EvaluationModel> reference;
  DataSpec data;
  std::optional<int64_t> window;     // default: the smaller of 2048 and the models' maximum
  std::vector<std::string> metrics;  // empty = all that apply
  uint64_t seed = 0;
  std::filesystem::path cache;  // finished rows are kept here for resume; "" = none
};

/// Rows in the order models × metrics. Relative metrics are refused when tokenizers differ.
using EvaluateFunction = std::vector<EvaluationRow> (*)(const EvaluationRequest& request);

}  // namespace attar
