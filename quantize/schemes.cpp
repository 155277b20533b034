#include "quantize/schemes.h"

#include <fmt/format.h>

#include <array>

#include "compress/base/error.h"
#include "compress/base/nearest.h"

namespace attar {

std::span<const Scheme> schemes() {
  static constexpr std::array kTable = {
      Scheme{"W4A16", "4-bit weights, symmetric", 4, true},
      Scheme{"W4A16_ASYM", "4-bit weights with zero points", 4, false},
      Scheme{"W8A16", "8-bit weights, symmetric", 8, true},
      Scheme{"W8A8", "8-bit weights by channel, inputs rounded to int8 by token", 8, true, "int8",
             0},
      Scheme{"W3A16", "3-bit weights, symmetric", 3, true},
      Scheme{"W3A16_ASYM", "3-bit weights with zero points", 3, false},
  };
  return kTable;
}

std::vector<std::string> scheme_names() {
  std::vector<std::string> names;
  for (const Scheme& row : schemes()) names.emplace_back(row.name);
  return names;
}

const Scheme& find_scheme(std::string_view name, const std::string& where) {
  for (const Scheme& row : schemes())
    if (row.name == name) return row;
  const auto names = scheme_names();
  const std::string close = nearest(name, names);
  throw bad_input(
      fmt::format("scheme '{}' is not offered", name), where,
      fmt::format("{}offered: {}", close.empty() ? "" : fmt::format("did you mean '{}'? ", close),
                  fmt::join(names, ", ")));
}

}  // namespace attar
