// What `attar list` shows: the areas' own tables, in one shape.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/recipe/options.h"

namespace attar::cli {

struct TableRow {
  std::string name, summary;
  std::vector<FieldInfo> options;
};

struct Table {
  std::string_view name, summary;
  std::vector<TableRow> (*rows)();
};

/// stages, schemes, losses, criteria, metrics, architectures, formats.
std::span<const Table> tables();

}  // namespace attar::cli
