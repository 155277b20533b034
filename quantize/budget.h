// Which layers get how many bits, so that all of them fit a budget and hurt least.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace attar {

/// Layers that must have one layout (they share an input or a stored tensor), and what each choice
/// costs.
struct BudgetUnit {
  struct Choice {
    int bits = 0;     // of a code
    double size = 0;  // bits that codes, scales and zeros take
    double loss = 0;  // the smaller the better; losses of units are added
  };
  std::vector<std::string> modules;
  std::vector<Choice> choices;
};

/// One choice for every unit (its index), of total size at most `size`: starting from the smallest,
/// the step with the largest drop in loss per bit is taken as long as it fits, along each unit's
/// lower convex hull (the Lagrangian relaxation's solutions, filled up greedily). The smallest
/// choices together must fit.
std::vector<size_t> fit_budget(const std::vector<BudgetUnit>& units, double size);

}  // namespace attar
