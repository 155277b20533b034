// How much each input column of a model's matrices matters, from calibration windows.
#pragma once

#include "compress/architecture/model.h"
#include "compress/data/dataset.h"
#include "compress/pipeline/gguf/write.h"

namespace attar::gguf_export {

/// Mean of x² over all tokens for each column x of every linear layer's input (the diagonal of its
/// Hessian), by stored weight; block by block.
Importance measure_importance(const Model& model, const TokenWindows& windows);

}  // namespace attar::gguf_export
