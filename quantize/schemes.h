// Quantization schemes by the names that the field uses. A scheme is one row of the table.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attar {

struct Scheme {
  std::string_view name, summary;
  int bits = 4;
  bool symmetric = true;
  std::string_view activations = "float";  // how activations enter the product
  int64_t group = 128;                     // default group size
};

/// The table.
std::span<const Scheme> schemes();
/// The row of that name, or bad_input listing what is offered; `where` is the key's place.
const Scheme& find_scheme(std::string_view name, const std::string& where);
std::vector<std::string> scheme_names();

}  // namespace attar
