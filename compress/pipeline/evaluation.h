// Metrics: each is one file in eval/metrics/ and one row of the table in eval/metrics/table.cpp.
// The pipeline calls evaluation through this interface (areas are above the pipeline).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "compress/kernels/matmul.h"
#include "compress/pipeline/report.h"
#include "compress/recipe/recipe.h"

namespace attar {

struct EvaluationModel {
  std::string name;
  std::filesystem::path directory;
  std::filesystem::path adapter = {};  // a PEFT directory, folded into the weights; "" = none
  bool packed_cache = false;           // keep its packed weights beside it
};

/// A file of questions with known answers.
struct EvaluationTask {
  std::string name;   // of its rows
  std::string shape;  // which kind of file; "" = by its fields
  DataSpec data;
};

struct EvaluationRequest {
  std::vector<EvaluationModel> models;
  std::optional<EvaluationModel> reference;
  DataSpec data;                  // without a path: none
  std::optional<int64_t> window;  // default: the smaller of 2048 and the models' maximum
  std::vector<EvaluationTask> tasks;
  int64_t shots = 0;                 // solved examples before each question of a task
  std::vector<std::string> metrics;  // empty = all that apply
  uint64_t seed = 0;
  /// How inputs enter products with quantized weights; the reference's always exactly.
  Activations activations = Activations::exact;
  std::filesystem::path cache;  // finished rows are kept here for resume; "" = none
  /// Not 0: of the reference's next-id distributions this many ids are kept under `distributions`,
  /// where other evaluations and distillations find them instead of running it again; KL then
  /// refers to what is kept.
  int64_t reference_top_k = 0;
  std::filesystem::path distributions = {};
};

struct EvaluationResult {
  std::vector<EvaluationRow> rows;  // in the order models × metrics
  std::vector<std::string> notes;   // what a reader of the rows has to know
};

/// Relative metrics are refused when tokenizers differ.
using EvaluateFunction = EvaluationResult (*)(const EvaluationRequest& request);

}  // namespace attar
