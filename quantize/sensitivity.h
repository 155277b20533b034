// How much a model's predictions suffer when a few of its layers are rounded.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "compress/architecture/model.h"
#include "quantize/budget.h"
#include "quantize/modules.h"

namespace attar {

/// A unit of layers of one block, and the bits that they may get.
struct SensitivityUnit {
  int64_t block = 0;
  std::vector<const QuantModule*> modules;
  std::vector<int> bits;
};

/// For each unit and number of bits the KL divergence (nats a prediction) to the float model on
/// `ids`, windows of `window`, when only that unit is rounded to nearest, on scales with the least
/// squared error. The float model streams block by block; each measurement goes from the unit's
/// block to the end. `progress` is called before each unit.
std::vector<BudgetUnit> measure_sensitivity(const Model& model, std::span<const int32_t> ids,
                                            int64_t window,
                                            const std::vector<SensitivityUnit>& units,
                                            const std::function<void(int64_t)>& progress);

}  // namespace attar
