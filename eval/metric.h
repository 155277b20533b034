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
#include "eval/encoder_results.h"
#include "eval/generation.h"
#include "eval/measurement.h"
#include "eval/scoring.h"
#include "eval/tasks/answers.h"

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

/// Scores of a model over a set of sequences, and what the rows from them have in common.
struct Scored {
  const TokenScores* model = nullptr;
  const TokenScores* reference = nullptr;  // null without a reference
  const Bootstrap* bootstrap = nullptr;
  std::string protocol;
  nlohmann::ordered_json details;  // window, BOS, tokenizer, data …
};

/// What a metric looks at.
enum class Needs {
  files,        // the model's size alone
  windows,      // every id of non-overlapping windows (protocol gptq)
  chunks,       // the second halves of chunks (llama_cpp)
  documents,    // rolling over documents (lm_eval_word, lm_eval_byte)
  task,         // answers to a task; once for each task
  prompts,      // texts written after prompts
  labels,       // a classifier's results over texts with labels
  classes,      // the same over any texts
  neighbours,   // an embedder's vectors of texts with labels, or of pairs
  similarity,   // an embedder's vectors of pairs with scores
  vectors,      // an embedder's vectors of any texts
  measurement,  // speed and memory
};

/// One model's material. What a metric `needs` is there; the rest may be null or empty.
struct MetricInput {
  std::string model, reference;
  ModelSize size;
  Scored scored;                                     // windows, chunks, documents
  const std::vector<TextSize>* documents = nullptr;  // documents: of the original texts
  const TaskResult* answers = nullptr;               // task
  const TaskResult* reference_answers = nullptr;
  const Continuations* continuations = nullptr;  // prompts
  const Continuations* reference_continuations = nullptr;
  const LabelledSet* texts = nullptr;  // labels, classes, neighbours, similarity, vectors
  const EncoderResults* results = nullptr;
  const EncoderResults* reference_results = nullptr;
  const Measurement* measurement = nullptr;

  /// Whether there is another model to compare this one with.
  bool has_reference() const { return !reference.empty() && reference != model; }
};

struct Metric {
  std::string_view name, summary;  // "kl", as recipes and --metrics name it
  std::string_view unit;
  bool higher_is_better;
  Needs needs;
  std::vector<std::string_view> rows;  // names of the rows it gives: "kl_mean", "kl_p99" …
  void (*measure)(const MetricInput& input, std::vector<EvaluationRow>& rows);
  bool relative = false;      // means something only beside a reference
  bool by_default = true;     // measured when no metric is named
  bool looks_inside = false;  // at the reference's hidden states, which must then be computed
};

/// All of them, in the order of a report.
std::span<const Metric> metrics();

/// By its own name or, of those measured by default, that of one of its rows: several where metrics
/// over different material give rows of one name. A protocol of perplexity goes by its own name and
/// as "perplexity:llama_cpp".
std::vector<const Metric*> find_metrics(std::string_view name);

/// A row over predictions with what all such rows share.
EvaluationRow scored_row(const MetricInput& input, std::string metric, double value,
                         std::string unit, const std::optional<Interval>& interval);

/// Writes an interval and how it was had; nothing without one.
void set_interval(EvaluationRow& row, const std::optional<Interval>& interval,
                  std::string_view units);

/// What each unit adds to numerator and denominator of a row's value, for `details.by_unit`: a
/// later evaluation of the same units is compared with these pair by pair (see baseline.h).
/// Denominators that are all 1 are left out. `logarithmic`: the value is the exponential of their
/// quotient.
void keep_units(EvaluationRow& row, std::span<const double> numerators,
                std::span<const double> denominators, bool logarithmic);

/// How a model differs from the reference on the same units, for `details.paired`: the ratio (or,
/// without `logarithmic`, the difference) of numerators / denominators, with interval and p-value.
/// With `logarithmic` the quotients are logarithms: exp(model − reference) is the ratio.
nlohmann::ordered_json paired(const std::string& reference, const Bootstrap& bootstrap,
                              std::span<const double> model, std::span<const double> reference_sums,
                              std::span<const double> denominators, bool logarithmic);

}  // namespace attar::eval
