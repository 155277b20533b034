#include "prune/criteria.h"

#include <array>

namespace attar {

std::span<const Criterion> criteria() {
  static const std::array table = {
      activation_criterion(),
      weighted_activation_criterion(),
      magnitude_criterion(),
      block_influence_criterion(),
  };
  return table;
}

const Criterion* find_criterion(std::string_view name) {
  for (const Criterion& row : criteria())
    if (row.name == name) return &row;
  return nullptr;
}

}  // namespace attar
