// What stages that train have in common around the loop: opening models, making windows, facts for
// the report, LibTorch's errors in the project's form.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "compress/architecture/model.h"
#include "compress/base/error.h"
#include "compress/data/dataset.h"
#include "compress/data/text_set.h"
#include "compress/formats/weights.h"
#include "compress/model/trainable_model.h"
#include "compress/recipe/recipe.h"
#include "compress/tokenizer/tokenizer.h"
#include "compress/training/loop.h"
#include "compress/training/options.h"
#include "compress/training/text_objective.h"

namespace attar {

/// A model and its tokenizer.
struct OpenedModel {
  Model model;
  std::shared_ptr<const Tokenizer> tokenizer;  // null when the directory has none
};
OpenedModel open_for_training(const std::filesystem::path& path);

struct TrainingData {
  TokenWindows train;
  std::optional<TokenWindows> validation;
};
/// Windows of `window` predictions each. Throws bad_input: text without a tokenizer, a window
/// longer than the model's maximum, empty data.
TrainingData load_training_data(const Recipe& recipe, const TrainingOptions& options,
                                const Tokenizer* tokenizer, const ModelSpec& spec, int64_t window,
                                uint64_t seed);

/// What encoders are trained on; `validation` is there when the options name it.
struct TextData {
  TextSet train;
  std::optional<TextSet> validation;
  int64_t window = 0;          // most ids of a text
  int64_t dropped_tokens = 0;  // of longer texts
};
/// Texts as `model` reads them. Throws bad_input as load_text_set does.
TextData load_text_data(const Recipe& recipe, const TrainingOptions& options,
                        const OpenedModel& model, const TextUse& use, uint64_t seed);

/// Fails unless the classifier's labels exclude each other.
void require_single_label(const ModelSpec& spec);

/// What an encoder learns without a teacher: a classifier labels, an embedder pairs of texts.
TextUse use_without_teacher(const ModelSpec& spec);
/// The objective for that, on texts loaded for that use; all arguments must outlive it.
std::unique_ptr<Objective> objective_without_teacher(TrainableModel& model, const TextData& data,
                                                     const RowLoss& loss, int64_t batch);

inline Precision precision(const TrainingOptions& options) {
  return options.dtype == "bf16" ? Precision::bf16 : Precision::fp32;
}

/// Rows of the report: data, speed, losses, precision, threads.
nlohmann::ordered_json training_facts(const TrainingRun& run, const TrainingResult& result);

/// Runs body; LibTorch's errors become failure() without their stack trace.
template <class Body>
void with_torch_errors(const Body& body) {
  try {
    body();
  } catch (const c10::Error& e) {
    throw failure(std::string("LibTorch: ") + e.what_without_backtrace());
  }
}

}  // namespace attar
