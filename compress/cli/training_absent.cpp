// In `attar`: no LibTorch.
#include "compress/cli/training.h"

namespace attar::cli {

const TrainingBackend* training_backend() {
  return nullptr;
}

}  // namespace attar::cli
