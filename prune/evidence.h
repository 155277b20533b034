// Gathers what the criteria look at, a block at a time.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/formats/weights.h"
#include "compress/runtime/hidden_stream.h"
#include "prune/criteria.h"

namespace attar {

/// Calibration of one block, by the tensor name of an output projection.
struct BlockEvidence {
  std::map<std::string, UnitStatistics> inputs;
  std::map<std::string, std::vector<double>> grams;  // Σ x xᵀ [in, in], where asked for
  BlockStatistics block;
};

/// Takes all windows through block `index` and watches inputs of the output projections of `groups`
/// (those of that block), their second moments with `grams`, and how much the block turns the
/// hidden states. Throws failure for activations that are not finite.
BlockEvidence pass_watched(HiddenStream& stream, const Block& block, int64_t index,
                           const std::vector<DependencyGroup>& groups, const ModelSpec& spec,
                           bool grams);

/// Evidence about a group's units: norms of weights from `weights`, `inputs` from calibration or
/// null.
UnitEvidence unit_evidence(const DependencyGroup& group, const WeightSource& weights,
                           const UnitStatistics* inputs);

}  // namespace attar
