// Which part of the data a recipe's `skip` and `take` mean.
#pragma once

#include <cstdint>

#include "compress/recipe/recipe.h"

namespace attar {

struct Range {
  int64_t begin, end;
};

/// Of `count` items: ⌊skip·count⌋ are left out, then at most ⌊take·count⌋ used, so that `take: 0.9`
/// and `skip: 0.9` part the data without overlap. bad_input when nothing is left; `unit` names the
/// items.
Range selected_range(const DataSpec& data, int64_t count, const char* unit);

}  // namespace attar
