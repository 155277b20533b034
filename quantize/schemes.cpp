#include "quantize/schemes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/formats/gguf/tensor_types.h"

namespace attar {

namespace {

/// "q4_k_m" -> "Q4_K_M", as schemes are written.
const std::map<std::string_view, std::string>& upper_names() {
  static const auto kNames = [] {
    std::map<std::string_view, std::string> names;
    for (const gguf_export::Mixture& mixture : gguf_export::mixtures()) {
      std::string& name = names[mixture.name] = std::string(mixture.name);
      for (char& c : name) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    }
    return names;
  }();
  return kNames;
}

}  // namespace

std::span<const Scheme> schemes() {
  static const std::vector<Scheme> kTable = [] {
    std::vector<Scheme> table = {
        {"W4A16", "4-bit weights, symmetric", 4, true},
        {"W4A16_ASYM", "4-bit weights with zero points", 4, false},
        {"W8A16", "8-bit weights, symmetric", 8, true},
        {"W8A8", "8-bit weights by channel, inputs rounded to int8 by token", 8, true, "int8", 0},
        {"W3A16", "3-bit weights, symmetric", 3, true},
        {"W3A16_ASYM", "3-bit weights with zero points", 3, false},
        {"NF4", "4-bit weights, quantiles of a normal distribution, as bitsandbytes and QLoRA", 4,
         true, "float", 64, nullptr, Levels::nf4},
    };
    for (const gguf_export::Mixture& mixture : gguf_export::mixtures()) {
      const auto* type = gguf::find_tensor_type(mixture.base);
      if (type->put_codes == nullptr) continue;
      table.push_back({upper_names().at(mixture.name), mixture.summary, type->bits, true, "float",
                       type->group, &mixture, Levels::integers});
    }
    return table;
  }();
  return kTable;
}

std::vector<std::string> scheme_names() {
  std::vector<std::string> names;
  for (const Scheme& row : schemes()) names.emplace_back(row.name);
  return names;
}

bool is_gguf_scheme(std::string_view name) {
  const auto all = schemes();
  return std::any_of(all.begin(), all.end(),
                     [&](const Scheme& row) { return row.name == name && row.mixture != nullptr; });
}

Levels levels_of(std::string_view name) {
  for (const Scheme& row : schemes())
    if (row.name == name) return row.levels;
  return Levels::integers;
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
