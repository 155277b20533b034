// The stages `train` (from scratch or continued) and `distill`: their rows for the stage table,
// free of LibTorch. What runs them is distill/training.h, in programs that have LibTorch.
#pragma once

#include "compress/pipeline/stage.h"

namespace attar {

/// Row without `run`.
StageType train_stage();
/// Row without `run`.
StageType distill_stage();

}  // namespace attar
