// Chooses and applies a block's rescalings from what its layers read.
#pragma once

#include <cstdint>

#include "quantize/calibration.h"
#include "quantize/foldings.h"
#include "quantize/module_quantizer.h"
#include "quantize/modules.h"
#include "quantize/options.h"

namespace attar {

/// For every folding of `plan` factors by options.fold (awq, smoothquant), put into `weights`;
/// norms and biases that changed go to part.dense, a row for each folding (also the skipped) to
/// part.foldings. The block's output must stay what it was to 1e-5; if it does not, nothing is
/// rescaled and part.fallbacks says so (an error under strict).
void choose_foldings(const ModelSpec& spec, int64_t block, const FoldingPlan& plan,
                     const QuantPlan& modules, const QuantizeOptions& options,
                     CalibrationWalk& walk, OverlayWeights& weights, QuantizedModules& part);

}  // namespace attar
