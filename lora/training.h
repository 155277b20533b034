// What the stage `lora` does. Needs LibTorch (target attar_lora_training); this header does not.
#pragma once

#include "compress/pipeline/stage.h"

namespace attar {

/// Trains adapters on the input model; writes output/adapter (PEFT layout) and, merged,
/// output/model.
void run_lora(StageContext& context);

}  // namespace attar
