// The prune stage: takes FFN neurons, whole groups of attention heads, or layers out of a model.
#pragma once

#include "compress/pipeline/stage.h"

namespace attar {

StageType prune_stage();

}  // namespace attar
