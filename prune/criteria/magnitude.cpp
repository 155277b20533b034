// The norm of all weights that would go with a unit; needs no data.
#include <cmath>

#include "prune/criteria.h"

namespace attar {

Criterion magnitude_criterion() {
  const auto score = [](const UnitEvidence& evidence) {
    std::vector<double> scores = evidence.weight_squares;
    for (double& value : scores) value = std::sqrt(value);
    return scores;
  };
  return {"magnitude", "norm of all weights that belong to a unit; needs no data", false, score,
          nullptr};
}

}  // namespace attar
