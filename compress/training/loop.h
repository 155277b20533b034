// The training loop: seeded order, gradient accumulation, AdamW on a schedule, checkpoints for
// resume, curves. What is minimized is an Objective; what is trained is the model's trained()
// store.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "compress/model/trainable_model.h"
#include "compress/training/objective.h"
#include "compress/training/options.h"

namespace attar {

struct TrainingRun {
  TrainableModel& model;
  Objective& objective;
  const TrainingOptions& options;
  uint64_t seed = 0;
  int threads = 1;
  std::filesystem::path scratch = {};  // checkpoints; "" = none
  std::string label = {};              // for progress
};

struct TrainingResult {
  int64_t steps = 0, terms = 0;  // terms: predictions or texts learned from
  double seconds = 0;            // of this process
  double terms_per_second = 0;
  double first_loss = 0, last_loss = 0;  // last: mean over the last twentieth of the steps
  std::optional<double> validation_before, validation_after;  // Objective::held_out
  int64_t resumed_from = 0;                                   // step; 0 = not resumed
  int resumed_threads = 0;
  nlohmann::ordered_json curves;  // name -> [[step, value], …]
};

/// The steps that the options ask for on that many examples.
int64_t training_steps(const TrainingOptions& options, int64_t examples);

/// The examples that a run with this seed sees, each once, in the order of their numbers.
std::vector<int64_t> training_examples(const TrainingOptions& options, int64_t examples,
                                       uint64_t seed);

/// Trains. Loss of a step = Σ over all terms of all its examples / their number, so that `batch`
/// and `accumulate` only trade memory for speed (unless examples are compared with each other).
/// Throws failure naming the step when loss or gradient is not finite, Error(interrupted) after
/// writing a checkpoint. The result depends on the number of threads (LibTorch's products do), and
/// on nothing else outside its arguments.
TrainingResult train(const TrainingRun& run);

/// For LibTorch: threads, and memory kept for the next step instead of given back.
void prepare_torch(int threads);

}  // namespace attar
