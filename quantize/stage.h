// The quantize stage: a float model in, integer weights out, one block in memory at a time.
#pragma once

#include "compress/pipeline/stage.h"

namespace attar {

StageType quantize_stage();

}  // namespace attar
