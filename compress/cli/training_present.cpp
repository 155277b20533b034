// Of `attar-train`: the stages that train, and the trainable model's logits.
#include "compress/cli/training.h"
#include "compress/training/logits.h"
#include "distill/training.h"
#include "lora/training.h"

namespace attar::cli {

const TrainingBackend* training_backend() {
  static const TrainingBackend backend = {run_train, run_distill, run_lora, torch_logits,
                                          torch_description};
  return &backend;
}

}  // namespace attar::cli
