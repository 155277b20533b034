// Mean size of a unit's activation (Minitron, arXiv 2407.14679, section 2.2).
#include "prune/criteria.h"

namespace attar {

Criterion activation_criterion() {
  const auto score = [](const UnitEvidence& evidence) {
    std::vector<double> scores = evidence.inputs->norms;
    for (double& value : scores) value /= static_cast<double>(evidence.inputs->rows);
    return scores;
  };
  return {"activation", "mean |activation| of a neuron, mean norm of a head group's output", true,
          score, nullptr};
}

}  // namespace attar
