// What a metric is, and what it may look at. Each is one file in metrics/ and one row in
// metrics/table.cpp.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/pipeline/report.h"
#include "eval/bootstrap.h"
#include "eval/measurement.h"
#include "eval/scoring.h"

namespace attar::eval {

/// A model's size, from the headers of its files.
struct ModelSize {
  int64_t parameters = 0;
  uint64_t stored_bytes = 0;  // of the tensors: codes, scales, zeros
  uint64_t file_bytes = 0;    // of the weight files
  uint64_t directory_bytes = 0;
  int64_t quantized_parameters = 0;
  uint64_t quantized_bytes = 0;
};

/// One model's material. What a metric `needs` is there; the rest may be null.
struct MetricInput {
  std::string model, reference;
  ModelSize size;
  const TokenScores* scores = nullptr;
  const TokenScores* reference_scores = nullptr;
  const Bootstrap* bootstrap = nullptr;
  const Measurement* measurement = nullptr;
  nlohmann::ordered_json token_details;  // window, tokenizer, data: for rows over tokens
};

enum class Needs { files, tokens, reference, measurement };

struct Metric {
  std::string_view name, summary;  // "kl", as recipes and --metrics name it
  std::string_view unit;
  bool higher_is_better;
  Needs needs;
  std::vector<std::string_view> rows;  // names of the rows it gives: "kl_mean", "kl_p99" …
  void (*measure)(const MetricInput& input, std::vector<EvaluationRow>& rows);

  bool relative() const { return needs == Needs::reference; }
};

/// All of them, in the order of a report.
std::span<const Metric> metrics();

/// By its own name or that of one of its rows; null when there is none.
const Metric* find_metric(std::string_view name);

/// A row over tokens with what all such rows share.
EvaluationRow token_row(const MetricInput& input, std::string metric, double value,
                        std::string unit, const std::optional<Interval>& interval);

}  // namespace attar::eval
