// Mixed precision for the quantize stage: chooses every layer's bits under a budget.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "compress/architecture/model.h"
#include "compress/data/dataset.h"
#include "quantize/modules.h"
#include "quantize/options.h"

namespace attar {

/// Throws bad_input at `where` when even the fewest bits do not fit, or the model has no
/// predictions to measure.
void check_budget(const ModelSpec& spec, const QuantPlan& plan, const QuantizeOptions& options,
                  const std::string& where);

/// Sets the layouts' bits in `plan`. Layers that read one input get one number; layers whose bits
/// an override names keep them. Sensitivities are measured once and kept in `scratch`. Returns what
/// the report says: the budget, what was reached, and each unit's choices.
nlohmann::ordered_json spend_budget(const Model& model, const TokenWindows& windows,
                                    const QuantizeOptions& options,
                                    const std::filesystem::path& scratch, QuantPlan& plan);

}  // namespace attar
