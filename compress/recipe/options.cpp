#include "compress/recipe/options.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/base/nearest.h"

namespace attar::detail {
namespace {

bool within(const Constraint& c, double value) {
  return (c.low_open ? value > c.low : value >= c.low) && value <= c.high;
}

/// Adds a problem unless `value` lies within the bounds.
template <class Number>
bool in_range(const Node& node, const Constraint& c, Number value, Problems& problems) {
  if (within(c, static_cast<double>(value))) return true;
  problems.add(fmt::format("'{}' must be {}, not {}", node.key(), range_text(c), value),
               node.where());
  return false;
}

}  // namespace

void read_field(const Node& node, const Constraint& c, std::string& value, Problems& problems) {
  const auto text = node.string(problems);
  if (!text) return;
  if (!c.choices.empty() &&
      std::find(c.choices.begin(), c.choices.end(), *text) == c.choices.end()) {
    problems.add(fmt::format("'{}' cannot be '{}'", node.key(), *text), node.where(),
                 suggest(*text, c.choices));
    return;
  }
  value = *text;
}

void read_field(const Node& node, const Constraint&, bool& value, Problems& problems) {
  if (const auto read = node.boolean(problems)) value = *read;
}

void read_field(const Node& node, const Constraint& c, int64_t& value, Problems& problems) {
  if (const auto read = node.integer(problems); read && in_range(node, c, *read, problems))
    value = *read;
}

void read_field(const Node& node, const Constraint& c, double& value, Problems& problems) {
  if (const auto read = node.number(problems); read && in_range(node, c, *read, problems))
    value = *read;
}

std::string type_name(const std::string*) {
  return "text";
}
std::string type_name(const bool*) {
  return "boolean";
}
std::string type_name(const int64_t*) {
  return "integer";
}
std::string type_name(const double*) {
  return "number";
}

std::string range_text(const Constraint& c) {
  std::string text;
  for (const auto& choice : c.choices) text += (text.empty() ? "" : " | ") + choice;
  if (!text.empty()) return text;
  const bool low = std::isfinite(c.low), high = std::isfinite(c.high);
  if (low && high && !c.low_open) return fmt::format("between {} and {}", c.low, c.high);
  if (low) text = fmt::format("{} {}", c.low_open ? "above" : "at least", c.low);
  if (high) text += fmt::format("{}at most {}", low ? " and " : "", c.high);
  return text;
}

}  // namespace attar::detail
