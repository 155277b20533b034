// The input of stages that need float weights.
#pragma once

#include "compress/architecture/model.h"
#include "compress/pipeline/stage.h"

namespace attar {

/// Opens the stage's input. The matrices of a GGUF file, and ternary ones, are decoded to float32,
/// which is a row in the report's fallbacks: often there is no other form of a model. Any other
/// quantized model is bad_input: the float model that it came from loses less. `verb` is what the
/// stage does, "quantize".
Model open_float_input(StageContext& context, const char* verb);

}  // namespace attar
