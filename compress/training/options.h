// The options that every stage which trains has, and what follows from them. Free of LibTorch, so
// that recipes are checked and planned without loading it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compress/recipe/options.h"

namespace attar {

/// Fields of train, distill and lora alike; a stage's options struct lists them after its own by
/// calling fields() with the same visitor.
struct TrainingOptions {
  std::string data;
  std::optional<int64_t> steps;
  std::optional<double> epochs;
  int64_t batch = 8;
  int64_t accumulate = 1;
  std::optional<int64_t> window;
  double learning_rate = 1e-3;
  std::string schedule = "cosine";
  std::optional<int64_t> warmup;
  double min_lr_ratio = 0.1;
  double weight_decay = 0.01;
  std::vector<double> betas = {0.9, 0.999};
  double epsilon = 1e-8;
  double clip = 1.0;
  std::string dtype = "bf16";
  std::string output_dtype = "same";
  std::optional<std::string> validation;
  std::optional<int64_t> validate_every;
  double checkpoint_seconds = 60;
  std::optional<int64_t> checkpoint_every;

  template <class Visitor>
  void fields(Visitor& v) {
    v("data", data, "the data entry to train on", required());
    v("steps", steps, "optimizer steps; default: one epoch", at_least(1));
    v("epochs", epochs, "passes over the data, instead of steps", above(0));
    v("batch", batch, "windows in one forward pass", at_least(1));
    v("accumulate", accumulate, "forward passes whose gradients make one step", at_least(1));
    v("window", window, "ids a window; default: the smaller of 512 and the model's maximum",
      at_least(2));
    v("learning_rate", learning_rate, "peak learning rate", above(0));
    v("schedule", schedule, "how the learning rate falls after the warm-up",
      one_of("cosine", "linear", "constant"));
    v("warmup", warmup, "steps of linear warm-up; default: 5 % of the steps", at_least(0));
    v("min_lr_ratio", min_lr_ratio, "last learning rate as a fraction of the peak", between(0, 1));
    v("weight_decay", weight_decay, "decoupled weight decay of matrices", at_least(0));
    v("betas", betas, "AdamW's two decay rates", between(0, 0.999999));
    v("epsilon", epsilon, "AdamW's epsilon", above(0));
    v("clip", clip, "largest global gradient norm; 0 = no clipping", at_least(0));
    v("dtype", dtype, "arithmetic of the matrix products; weights and optimizer are float32",
      one_of("bf16", "fp32"));
    v("output_dtype", output_dtype,
      "what the weights are rounded to on disk; same = as the input model",
      one_of("same", "float32", "bfloat16", "float16"));
    v("validation", validation, "the data entry that the held-out loss is taken on");
    v("validate_every", validate_every, "steps between held-out losses; default: only at the end",
      at_least(1));
    v("checkpoint_seconds", checkpoint_seconds, "time between checkpoints for resume", at_least(0));
    v("checkpoint_every", checkpoint_every, "steps between checkpoints, besides those by time",
      at_least(1));
  }

  /// What no single field's range says; `node` is the stage's map.
  void check(const Node& node, Problems& problems) const {
    if (steps && epochs)
      problems.add("'steps' and 'epochs' exclude each other", node["epochs"].where(),
                   "keep one of them");
    if (betas.size() != 2)
      problems.add("'betas' must be two numbers", node["betas"].where(),
                   "for instance [0.9, 0.999]");
    if (validate_every && !validation)
      problems.add("'validate_every' needs 'validation'", node["validate_every"].where(),
                   "name a data entry under 'validation'");
    if (steps && warmup && *warmup > *steps)
      problems.add("'warmup' is longer than the training", node["warmup"].where());
  }
};

}  // namespace attar
