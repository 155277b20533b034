// What the prune stage will make and need, from headers alone.
#pragma once

#include "compress/pipeline/stage.h"

namespace attar {

/// Throws bad_input like the stage itself for options that do not fit the model.
StageEstimate estimate_prune(const StageSpec& spec, const Recipe& recipe,
                             const EstimateInput& input);

}  // namespace attar
