#include "compress/formats/quant_format.h"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <array>

#include "compress/base/error.h"

namespace attar {

bool is_embedding(const std::string& module) {
  constexpr std::array kTables = {
      "embed_tokens",         "embed_in", "wte", "wpe", "word_embeddings", "position_embeddings",
      "token_type_embeddings"};
  const std::string last = module.substr(module.rfind('.') + 1);  // npos + 1 = 0: the whole name
  return std::find(kTables.begin(), kTables.end(), last) != kTables.end();
}

std::span<const QuantFormat> quant_formats() {
  static const std::array rows = {compressed_tensors_format(), gptq_format(), awq_format(),
                                  bitsandbytes_format()};
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
