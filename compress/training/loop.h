// The training loop: seeded order, gradient accumulation, AdamW on a schedule, checkpoints for
// resume, curves. What is minimized is a RowLoss; what is trained is the model's trained() store.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "compress/data/dataset.h"
#include "compress/model/trainable_model.h"
#include "compress/training/options.h"
#include "compress/training/row_loss.h"

namespace attar {

struct TrainingRun {
  TrainableModel& model;
  const TokenWindows& windows;  // of inputs and next ids
  const TokenWindows* validation = nullptr;
  const RowLoss& loss;
  TrainableModel* teacher = nullptr;
  const TrainingOptions& options;
  uint64_t seed = 0;
  int threads = 1;
  std::filesystem::path scratch = {};  // checkpoints; "" = none
  std::string label = {};              // for progress
};

struct TrainingResult {
  int64_t steps = 0, tokens = 0;  // tokens: predictions learned from
  double seconds = 0;             // of this process
  double tokens_per_second = 0;
  double first_loss = 0, last_loss = 0;  // last: mean over the last twentieth of the steps
  std::optional<double> validation_before, validation_after;  // mean cross-entropy in nats
  int64_t resumed_from = 0;                                   // step; 0 = not resumed
  int resumed_threads = 0;
  nlohmann::ordered_json curves;  // name -> [[step, value], …]
};

/// The steps that the options ask for on that many windows.
int64_t training_steps(const TrainingOptions& options, int64_t windows);

/// Trains. Loss of a step = Σ over all positions of all its windows / their number, so that `batch`
/// and `accumulate` only trade memory for speed. Throws failure naming the step when loss or
/// gradient is not finite, Error(interrupted) after writing a checkpoint. The result depends on the
/// number of threads (LibTorch's products do), and on nothing else outside its arguments.
TrainingResult train(const TrainingRun& run);

/// Mean cross-entropy of every id after the first of each window, in nats.
double held_out_loss(TrainableModel& model, const TokenWindows& windows, int64_t batch);

/// For LibTorch: threads, and memory kept for the next step instead of given back.
void prepare_torch(int threads);

}  // namespace attar
