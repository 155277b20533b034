// What a recipe will need and make, from headers alone.
#pragma once

#include <string>
#include <vector>

#include "compress/pipeline/runner.h"

namespace attar {

struct RecipePlan {
  EstimateInput model;  // the recipe's model; empty without one
  struct Stage {
    const StageSpec* spec;
    StageEstimate estimate;
  };
  std::vector<Stage> stages;
};

/// Walks the stages' estimates, each starting from what its parent would emit. `recipe` must be
/// valid and must outlive the plan. Throws bad_input for a model that can't be opened or a stage
/// that can't work.
RecipePlan estimate_recipe(const Recipe& recipe, const Toolbox& tools);

/// "1.4 GB", "30.2 MB", "512 B": as disks and memory are sold, in powers of 1000.
std::string human_bytes(uint64_t bytes);

}  // namespace attar
