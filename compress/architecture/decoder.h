// What the decoder-only families with Llama's wiring share: pre-norm blocks of grouped-query
// attention with rotary embedding and a gated MLP, under the names
// "model.layers.N.self_attn.q_proj.weight" and so on. A family file reads its configuration with
// these parts and says where it differs.
#pragma once

#include <string>
#include <vector>

#include "compress/architecture/config_reader.h"
#include "compress/architecture/model_spec.h"

namespace attar {

/// What configurations of these families say, whatever the style of their keys.
struct DecoderFields {
  std::string family, architecture;
  int64_t vocab = 0, hidden = 0, ffn = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int64_t max_positions = 0;
  float norm_eps = 1e-6f;
  Activation activation = Activation::silu;
  bool tied = false;
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool head_norms = false;  // RMSNorm over head_dim on q and k
  RopeSpec rope;
  std::vector<bool> rotates;     // per layer; empty = all
  std::vector<int64_t> windows;  // per layer, 0 = all positions; empty = none slides
  std::vector<int64_t> eos_ids;
  std::optional<int64_t> bos_id, pad_id;
};

/// The keys that all of them have. `default_tied` is what the family's published class takes when
/// tie_word_embeddings is absent, `default_head_dim` when head_dim is (0: hidden_size / heads).
/// Throws bad_input for contradictions and for what is not supported.
DecoderFields read_decoder(const ConfigReader& config, std::string family, bool default_tied,
                           int64_t default_head_dim = 0);

/// `rope_parameters`, or `rope_theta` with `rope_scaling`. `default_partial`: the family rotates a
/// share of each head, this one where partial_rotary_factor is absent; nothing: whole heads.
RopeSpec read_rope(const ConfigReader& config, int64_t head_dim, double default_theta,
                   std::optional<double> default_partial = {});

/// Windows from `layer_types` ("full_attention", "sliding_attention"); nothing when the key is
/// absent.
std::optional<std::vector<int64_t>> read_layer_types(const ConfigReader& config, int64_t layers,
                                                     std::optional<int64_t> window);

/// The window of a family with `use_sliding_window`; nothing when it is off.
std::optional<int64_t> read_switched_window(const ConfigReader& config);

/// The windows of Qwen's layers: `layer_types`, or all from `max_window_layers` on.
std::vector<int64_t> read_late_windows(const ConfigReader& config, int64_t layers);

ModelSpec build_decoder(const DecoderFields& decoder);

/// Puts the dimensions of a spec into `config`. Throws bad_input unless all blocks have the same
/// widths, which is all that such a configuration can say.
void write_decoder(const ModelSpec& spec, nlohmann::ordered_json& config);

}  // namespace attar
