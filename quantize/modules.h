// Which layers are quantized, and how: names and patterns against a model's linear layers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/formats/gguf/tensor_types.h"
#include "compress/pipeline/stage.h"
#include "quantize/options.h"
#include "quantize/schemes.h"

namespace attar {

/// One linear layer that will be quantized.
struct QuantModule {
  std::string name;        // "model.layers.0.mlp.up_proj"
  std::string short_name;  // "up_proj"
  std::string stored;      // the layer of the published model that holds it: a fused "qkv_proj"
  LinearSpec linear;
  int64_t block = -1;  // −1: the output head
  QuantLayout layout;
  const gguf::TensorType* block_type = nullptr;  // of a GGUF scheme, instead of the layout

  double bits() const;  // a weight, scales and zero points counted
};

struct QuantPlan {
  std::vector<QuantModule> modules;  // in execution order
  std::vector<Fallback> fallbacks;   // layers whose layout is not the one asked for
  std::vector<std::string> notes;    // what is legal but may surprise a consumer

  /// The module of that name, nullptr when it will not be quantized.
  const QuantModule* find(const std::string& module) const;
};

/// Resolves scheme, targets, ignore, group size and head. `scale_dtype` is what `auto` stands for
/// here. Throws bad_input: a pattern that matches nothing, nothing left to quantize, a group size
/// that does not divide a layer's columns (with the nearest ones that do), a fallback under strict,
/// layers that stand in one tensor but are not treated alike. Patterns name layers as the spec or
/// as the published model has them. `where` is the stage's place.
QuantPlan plan_modules(const ModelSpec& spec, const QuantizeOptions& options, DType scale_dtype,
                       const std::string& where);

/// All layers of a model, with the block types that the mixture of a GGUF scheme gives them. A
/// layer that the file holds otherwise than row by row is a fallback: it is encoded without
/// calibration.
QuantPlan plan_block_types(const Model& model, const Scheme& scheme);

/// True when `pattern` names the module: its name, its last part, a glob with * and ?, or after
/// "re:" an expression that matches from the name's beginning.
bool names_module(const std::string& pattern, const std::string& module, const std::string& where);

}  // namespace attar
