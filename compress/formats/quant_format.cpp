#include "compress/formats/quant_format.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <array>

#include "compress/base/error.h"

namespace attar {

std::span<const QuantFormat> quant_formats() {
  static const std::array rows = {compressed_tensors_format(), gptq_format(), awq_format()};
  return rows;
}

const QuantFormat& find_quant_format(std::string_view name, const std::string& where) {
  std::vector<std::string_view> known;
  for (const QuantFormat& row : quant_formats()) {
    if (row.name == name) return row;
    known.push_back(row.name);
  }
  throw bad_input(
      fmt::format("unsupported quant_method \"{}\"", name), where,
      fmt::format("supported: {}, or weights without quantization", fmt::join(known, ", ")));
}

}  // namespace attar
