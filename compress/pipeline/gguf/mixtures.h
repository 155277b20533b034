// Which block type each tensor of a GGUF file gets: the mixtures that llama-quantize makes
// (ggml-org/llama.cpp, src/llama-quant.cpp). One row per mixture.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/formats/gguf/tensor_types.h"
#include "compress/pipeline/stage.h"

namespace attar::gguf_export {

/// Where a tensor stands in the model.
struct TensorPlace {
  std::string_view name;  // in the file, "blk.3.ffn_down.weight"
  std::vector<int64_t> shape;
  int64_t layer = -1, layers = 0;
  bool head = false;  // the output matrix, or the embedding when there is no other
};

struct Mixture {
  std::string_view name;  // "q4_k_m"
  std::string_view summary;
  std::string_view base;   // type of most matrices
  uint32_t file_type = 0;  // general.file_type
  /// The type of a matrix that has another one; nothing: the base.
  std::optional<std::string_view> (*other)(const TensorPlace& place) = nullptr;
};

/// The table.
std::span<const Mixture> mixtures();
/// By name, "q4_k_m" or "Q4_K_M"; nullptr when there is none.
const Mixture* find_mixture(std::string_view name);

/// The type of a tensor. Where the columns don't fit blocks, the next wider type that fits is taken
/// and said in `fallbacks`.
const gguf::TensorType& type_of(const Mixture& mixture, const TensorPlace& place,
                                std::vector<Fallback>& fallbacks);

}  // namespace attar::gguf_export
