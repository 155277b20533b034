// What a unit adds to the block's output, were its channels independent: √ Σ_c E[x_c²] · ‖W_out[:,
// c]‖² (the score of Wanda, arXiv 2306.11695, gathered over the unit's columns).
#include <cmath>

#include "prune/criteria.h"

namespace attar {

Criterion weighted_activation_criterion() {
  const auto score = [](const UnitEvidence& evidence) {
    std::vector<double> scores(static_cast<size_t>(evidence.units));
    for (int64_t column = 0; column < evidence.units * evidence.per_unit; ++column)
      scores[static_cast<size_t>(column / evidence.per_unit)] +=
          evidence.inputs->squares[static_cast<size_t>(column)] /
          static_cast<double>(evidence.inputs->rows) *
          evidence.column_squares[static_cast<size_t>(column)];
    for (double& value : scores) value = std::sqrt(value);
    return scores;
  };
  return {"weighted_activation", "activation times the norm of the weights that read it", true,
          score, nullptr};
}

}  // namespace attar
