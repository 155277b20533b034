// JSON files as input from strangers: every mistake is a bad_input with file and line, and a key
// that stands twice is a mistake.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace attar {

/// Parses a whole text. `where` is the file's path for messages. `Json` is nlohmann::json or
/// ordered_json; the latter keeps the order of keys but looks them up one by one, so it is for
/// small objects.
template <class Json>
Json parse_json(std::string_view text, const std::string& where);

extern template nlohmann::json parse_json(std::string_view, const std::string&);
extern template nlohmann::ordered_json parse_json(std::string_view, const std::string&);

/// The value as int64 if it is an integer that fits (JSON also has unsigned 64-bit ones and
/// fractions).
template <class Json>
std::optional<int64_t> json_integer(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.template get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return {};
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.template get<int64_t>();
  return {};
}

}  // namespace attar
