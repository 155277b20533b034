// LoRA adapters in the directory layout of huggingface/peft: adapter_config.json and
// adapter_model.safetensors (docs/source/developer_guides/checkpoint.md).
//
// y = x Wᵀ + s (x Aᵀ) Bᵀ, so the merged weight is W + s·B·A (Hu et al., LoRA, 2021, section 4.1),
// with s = alpha / rank, or alpha / √rank with `rslora` (Kalajdzievski, 2023).
//
// Modules that are trained whole (`modules_to_save`: a classifier's head) stand beside the factors
// and take the place of the base's. Not read, and refused: DoRA, biases, embeddings, and
// initializations that change the base.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "compress/base/files.h"
#include "compress/formats/weights.h"

namespace attar {

/// What adapter_config.json says.
struct LoraConfig {
  int64_t rank = 8;
  double alpha = 8;
  double dropout = 0;                // of training; merging does not use it
  bool rslora = false;               // s = alpha / √rank
  bool fan_in_fan_out = false;       // the base stores W as [in, out]; the factors stay the same
  std::vector<std::string> targets;  // names or ends of names of modules: "q_proj"
  std::string target_expression;     // or one regular expression for whole names; "all-linear"
  std::vector<std::pair<std::string, int64_t>> ranks;  // rank_pattern: other ranks by end of name
  std::vector<std::pair<std::string, double>> alphas;  // alpha_pattern
  std::vector<int64_t> layers;                         // layers_to_transform; empty = all
  std::vector<std::string> saved;                      // modules_to_save, names or their ends
  std::string task_type = "CAUSAL_LM";
  std::string base_model;  // base_model_name_or_path

  int64_t rank_of(std::string_view module) const;
  /// s of W + s·B·A.
  double scale_of(std::string_view module) const;
  bool targets_module(std::string_view module) const;
  /// Whether a tensor belongs to a module that is saved whole: one of `saved` ends a part of its
  /// name ("classifier" in "pre_classifier.weight", as PEFT matches them).
  bool saves_tensor(std::string_view name) const;
};

/// The two factors of one linear layer.
struct LoraModule {
  std::string module;  // "model.layers.0.self_attn.q_proj"
  int64_t rank = 0, out = 0, in = 0;
  std::vector<float> a;  // [rank, in]
  std::vector<float> b;  // [out, rank]
  double scale = 1;      // s
};

/// A tensor of a module that was trained whole.
struct SavedTensor {
  std::string name;  // "classifier.weight"
  std::vector<int64_t> shape;
  std::vector<float> values;
};

struct Adapter {
  LoraConfig config;
  std::vector<LoraModule> modules;  // in the order of the file
  std::vector<SavedTensor> saved = {};
};

/// The configuration alone. `where` is its file's path. Throws bad_input naming the key.
LoraConfig read_lora_config(const nlohmann::ordered_json& json, const std::string& where);

/// Throws bad_input: not an adapter, a feature that is not supported, factors that are missing,
/// misshapen, not finite, or not of a targeted module.
Adapter read_adapter(const fs::path& directory);

/// Writes both files (factors as float32) into `directory`, which exists.
void write_adapter(const fs::path& directory, const Adapter& adapter);

/// A model with an adapter folded in, all matrices [out, in] (architecture/model.h: fused and
/// transposed ones): load() of an adapted weight gives W + s·B·A in float32 (each
/// element summed over the ranks in order, so for any thread count the same), everything else what
/// `base` gives. Throws bad_input when the adapter changes a layer that the base does not have or
/// has in another shape, or when a targeted layer of the base has no factors.
std::shared_ptr<const WeightSource> with_adapter(std::shared_ptr<const WeightSource> base,
                                                 const fs::path& adapter);
std::shared_ptr<const WeightSource> with_adapter(std::shared_ptr<const WeightSource> base,
                                                 Adapter adapter, const std::string& where);

}  // namespace attar
