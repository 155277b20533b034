// How files hold quantized linear layers: the layouts of the field, one file each, one row each.
// All of them hold the same QuantizedMatrix; which tensors and which configuration say so differs.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compress/formats/checkpoint.h"
#include "compress/formats/quantized_matrix.h"
#include "compress/formats/safetensors.h"
#include "compress/formats/weights.h"

namespace attar {

struct QuantFormat {
  std::string_view name;  // "gptq": also what quantization_config calls quant_method
  std::string_view summary;
  /// What scales are stored as, where the layout knows one type only.
  std::optional<DType> scale_dtype;
  /// Why a matrix [rows, cols] cannot be stored so; empty: it can.
  std::string (*objection)(int64_t rows, int64_t cols, const QuantLayout& layout);
  /// The tensors that stand for linear layer `module` ("model.layers.0.mlp.up_proj") …
  std::vector<SafetensorsWriter::Declaration> (*declare)(const std::string& module, int64_t rows,
                                                         int64_t cols, const QuantLayout& layout);
  /// … and their bytes. Throws failure when a value does not fit the layout's types.
  void (*write)(SafetensorsWriter& writer, const std::string& module, const QuantizedMatrix& q);
  /// The `quantization_config` of config.json; `ignored` are the linear modules that stay dense.
  /// Throws bad_input when one configuration cannot say all the layouts.
  nlohmann::ordered_json (*config)(const std::vector<std::pair<std::string, QuantLayout>>& modules,
                                   const std::vector<std::string>& ignored);
  /// The weights of a model whose config.json has such a `quantization_config`; `where` is its
  /// place for messages. Throws bad_input for what a Weight cannot say.
  std::shared_ptr<const WeightSource> (*open)(const nlohmann::ordered_json& quantization,
                                              Checkpoint checkpoint, const std::string& where);
  /// The configuration's twin beside config.json, for readers that look there; empty: none.
  std::string_view twin_file = {};
};

QuantFormat compressed_tensors_format();
QuantFormat gptq_format();
QuantFormat awq_format();
QuantFormat bitsandbytes_format();

/// True for modules whose two-dimensional weights are tables of vectors, not linear layers
/// ("model.embed_tokens").
bool is_embedding(const std::string& module);

/// The table; the first is the usual one.
std::span<const QuantFormat> quant_formats();
/// The row of that name, or bad_input listing the known ones.
const QuantFormat& find_quant_format(std::string_view name, const std::string& where);

}  // namespace attar
