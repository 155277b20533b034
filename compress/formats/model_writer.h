// Writes a Hugging Face model directory: config.json, model.safetensors, carried-along files.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compress/base/files.h"
#include "compress/formats/quant_format.h"
#include "compress/formats/quantized_matrix.h"
#include "compress/formats/weights.h"

namespace attar {

/// What one tensor of the new model will be; declared before any is written, because the header of
/// a safetensors file comes first.
struct TensorPlan {
  std::string name;  // "model.layers.0.mlp.up_proj.weight"
  std::vector<int64_t> shape;
  DType dtype = DType::f32;           // dense
  std::optional<QuantLayout> layout;  // set: quantized instead
};

/// Writes into `directory` (which exists, usually a StagedDirectory). Tensors may come in any
/// order.
class ModelWriter {
 public:
  /// `config` is written as it is, but for two things that the tensors decide: quantization_config
  /// (with every dense linear layer and a tied head in its ignore list), and dtype or torch_dtype,
  /// where present and all dense tensors have one type. Side files are copied from
  /// `side_files_from` unless that is empty. `format` is how quantized tensors stand; its objection
  /// to a planned one is a bad_input.
  ModelWriter(fs::path directory, nlohmann::ordered_json config, std::vector<TensorPlan> tensors,
              const fs::path& side_files_from, const QuantFormat& format = quant_formats().front());
  ~ModelWriter();

  void write(const std::string& name, std::span<const float> values);
  void write(const std::string& name,
             std::span<const std::byte> bytes);  // already in the planned dtype
  void write(const std::string& name, const QuantizedMatrix& q);
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace attar
