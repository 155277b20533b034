// The source model with everything set to zero that pruning would take out: it must compute what
// the pruned model computes.
#pragma once

#include <memory>

#include "compress/architecture/model_spec.h"
#include "compress/formats/weights.h"
#include "prune/plan.h"

namespace attar {

/// Zeroes the rows and columns of units that go, and the output projections of layers that go
/// (which then add nothing to the residual stream). `replaced` columns of output projections, where
/// compensation changed what stays, are taken from there: tensor name -> [rows, kept columns].
/// `source` must outlive the result.
std::shared_ptr<const WeightSource> masked_weights(
    const WeightSource& source, const ModelSpec& spec, const PrunePlan& plan,
    const std::map<std::string, std::vector<float>>& replaced = {});

}  // namespace attar
