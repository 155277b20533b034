// Model families: how a config.json of each becomes a ModelSpec, and back. One file per family in
// families/, one row in the table of family.cpp.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/formats/weights.h"

namespace attar {

struct Family {
  std::string_view name;                        // "llama"
  std::vector<std::string_view> architectures;  // config.json "architectures"
  std::vector<std::string_view> model_types;    // config.json "model_type"
  std::string_view summary;
  /// Reads old (rope_theta, rope_scaling, torch_dtype) and new (rope_parameters, dtype) key styles.
  /// `where` is config.json's path for messages. Throws bad_input naming the key.
  ModelSpec (*read)(const nlohmann::ordered_json& config, const std::string& where);
  /// Puts a spec's dimensions (layers, widths, heads, vocabulary, tie) into an existing config of
  /// that family.
  void (*write)(const ModelSpec& spec, nlohmann::ordered_json& config);
  /// Adds what only the files say: optional tensors that are there or not, names of old checkpoints
  /// (`stored`), what is left out. `weights` lists tensors as they are stored. Null: nothing.
  void (*fit)(ModelSpec& spec, const WeightSource& weights) = nullptr;
  /// Architectures and model types of multimodal models whose "text_config" is one of this family.
  std::vector<std::string_view> multimodal = {};
  /// How names of tensors begin in some checkpoints, and how the published class of `architectures`
  /// has them. The first that fits counts.
  struct Renaming {
    std::string_view from, to;
  };
  std::vector<Renaming> renamings = {};
};

/// The table.
std::span<const Family> families();

/// The spec of a config.json; an unknown architecture lists the known ones and the deciding key.
ModelSpec read_model_spec(const nlohmann::ordered_json& config, const std::string& where);
/// The part of a multimodal model's configuration that describes its text model, as a
/// configuration of its own; any other configuration as it is.
nlohmann::ordered_json text_config(const nlohmann::ordered_json& config, const std::string& where);
/// What a stored tensor is called in the published form of the spec's family.
std::string published_name(const ModelSpec& spec, const std::string& name);
/// Calls the family's `fit`.
void fit_model_spec(ModelSpec& spec, const WeightSource& weights);
/// Updates `config` to describe `spec` (after pruning, say).
void write_model_spec(const ModelSpec& spec, nlohmann::ordered_json& config);

/// Compares names and shapes of `weights`, which are those of files, with what `spec` needs there;
/// one bad_input lists everything missing, misshapen or left over (with what was expected), the
/// contradiction between config and weights first. Returns the tensors that are passed over because
/// they say nothing new (rotary buffers, a stored copy of a tied head), each with the reason.
std::vector<std::string> check_weights(const ModelSpec& spec, const WeightSource& weights,
                                       const std::string& where);

/// A complete config.json for a new Llama-family model.
struct LlamaShape {
  int64_t vocab = 0, hidden = 0, ffn = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0,
          max_positions = 1024;
  double rope_theta = 10000.0;
  bool tied = true;
};
nlohmann::ordered_json llama_config(const LlamaShape& shape, int64_t bos, int64_t eos);

}  // namespace attar
