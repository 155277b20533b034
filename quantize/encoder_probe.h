// Whether a quantized encoder still says what its original says.
#pragma once

#include <filesystem>

#include "compress/architecture/model.h"
#include "compress/data/dataset.h"
#include "compress/pipeline/stage.h"

namespace attar {

/// Compares `model` with the emitted one on some of the calibration texts: for a classifier the KL
/// divergence of the labels' probabilities and how often the label is the same, for an embedder the
/// mean of 1 − cosine. Passed when that is finite and at most `bound`.
Check probe_encoder(const Model& model, const std::filesystem::path& directory,
                    const TokenWindows& texts, double bound);

}  // namespace attar
