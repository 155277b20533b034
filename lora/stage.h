// The stages `lora` (train low-rank adapters) and `merge` (fold an adapter into its base): their
// rows for the stage table, free of LibTorch. What runs `lora` is lora/training.h.
#pragma once

#include "compress/pipeline/stage.h"

namespace attar {

/// Row without `run`.
StageType lora_stage();
/// Complete row: merging needs no LibTorch.
StageType merge_stage();

}  // namespace attar
