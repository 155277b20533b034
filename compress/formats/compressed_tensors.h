// The compressed-tensors `pack-quantized` layout (vllm-project/compressed-tensors): int4 / int8
// weight-only.
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

/// [rows, cols] codes -> [rows, ceil(cols·bits/32)] words: a dense little-endian bit stream along
/// columns.
std::vector<int32_t> pack_columns(std::span<const uint8_t> codes, int64_t rows, int64_t cols,
                                  int bits);
std::vector<uint8_t> unpack_columns(std::span<const int32_t> words, int64_t rows, int64_t cols,
                                    int bits);
/// The same along rows, for zero points: [rows, groups] -> [ceil(rows·bits/32), groups].
std::vector<int32_t> pack_rows(std::span<const uint8_t> codes, int64_t rows, int64_t cols,
                               int bits);
std::vector<uint8_t> unpack_rows(std::span<const int32_t> words, int64_t rows, int64_t cols,
                                 int bits);

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
/// for messages. Also reads `int-quantized` weights. Throws bad_input for what a QuantizedMatrix
/// cannot say: quantized activations, float types, group activation order (g_idx), sparsity,
/// transforms.
std::shared_ptr<const WeightSource> open(const nlohmann::ordered_json& quantization,
                                         Checkpoint checkpoint, const std::string& where);

}  // namespace attar::compressed_tensors
