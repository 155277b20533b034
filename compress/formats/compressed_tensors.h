// The compressed-tensors layouts (vllm-project/compressed-tensors): `pack-quantized` words, and
// `int-quantized` bytes for layers whose inputs are int8 too.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compress/formats/checkpoint.h"
#include "compress/formats/quantized_matrix.h"
#include "compress/formats/safetensors.h"
#include "compress/formats/weights.h"

namespace attar::compressed_tensors {

/// The tensors that stand for linear layer `module` ("model.layers.0.mlp.up_proj"): declarations …
std::vector<SafetensorsWriter::Declaration> declare(const std::string& module, int64_t rows,
                                                    int64_t cols, const QuantLayout& layout);
/// … and their bytes.
void write(SafetensorsWriter& writer, const std::string& module, const QuantizedMatrix& q);

/// The `quantization_config` of config.json. Modules are grouped by layout (one layout: the target
/// is "Linear"; several: exact names); `ignored` are the linear modules that stay dense.
nlohmann::ordered_json config(const std::vector<std::pair<std::string, QuantLayout>>& modules,
                              const std::vector<std::string>& ignored);

/// The weights of a model whose config.json has such a `quantization_config`; `where` is its place
/// for messages. Throws bad_input for what a QuantizedMatrix cannot say: activations other than
/// int8 with a scale for each token, float types, group activation order (g_idx), sparsity,
/// transforms.
std::shared_ptr<const WeightSource> open(const nlohmann::ordered_json& quantization,
                                         Checkpoint checkpoint, const std::string& where);

}  // namespace attar::compressed_tensors
