// What decoder-only families share: keys of their configurations and, of those with Llama's wiring
// (pre-norm blocks of grouped-query attention with rotary embedding and a gated MLP), the names
// "model.layers.N.self_attn.q_proj.weight" and so on. A family file reads its configuration with
// these parts and says where it differs.
#pragma once

#include <initializer_list>
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
  float norm_offset = 0;    // norms multiply by offset + w
  bool post_norms = false;  // norms after each half of a block too, under Gemma's names
  bool sub_norms = false;   // norms on what o_proj and down_proj read
  Activation activation = Activation::silu;
  bool tied = false;
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool head_norms = false;    // RMSNorm over head_dim on q and k
  float attention_scale = 0;  // 0: head_dim^−½
  float attention_softcap = 0, logit_softcap = 0;
  float embedding_scale = 1;
  RopeSpec rope;
  std::optional<RopeSpec> sliding_rope;  // of layers that slide, where it is another
  std::vector<bool> rotates;             // per layer; empty = all
  std::vector<int64_t> windows;          // per layer, 0 = all positions; empty = none slides
  std::vector<int64_t> eos_ids;
  std::optional<int64_t> bos_id, pad_id;
};

/// What a family's published class takes when keys are absent, and how it names some.
struct DecoderDefaults {
  bool tied = false;
  int64_t head_dim = 0;  // 0: hidden_size / heads
  double norm_eps = 1e-6;
  const char* activation_key = "hidden_act";
  const char* activation = "silu";
};

/// The keys that all of them have. Throws bad_input for contradictions and for what is not
/// supported.
DecoderFields read_decoder(const ConfigReader& config, std::string family,
                           const DecoderDefaults& defaults);

/// `config` with those of `defaults` whose keys it has not.
nlohmann::ordered_json with_defaults(nlohmann::ordered_json config,
                                     const nlohmann::ordered_json& defaults);

/// `rope_parameters`, or `rope_theta` with `rope_scaling`. `default_part` is the rotated share of a
/// head when partial_rotary_factor is absent; nothing: this family rotates whole heads.
RopeSpec read_rope(const ConfigReader& config, int64_t head_dim, double default_theta,
                   std::optional<double> default_part = {});

/// The same from one object of new style ("rope_theta", "rope_type", "factor", …); nothing: plain.
RopeSpec read_rope_object(const std::optional<ConfigReader>& rope, const ConfigReader& config,
                          int64_t head_dim, double default_theta);

/// Windows from `layer_types` ("full_attention", "sliding_attention"); nothing when the key is
/// absent.
std::optional<std::vector<int64_t>> read_layer_types(const ConfigReader& config, int64_t layers,
                                                     std::optional<int64_t> window);

/// The window of a family with `use_sliding_window`; nothing when it is off.
std::optional<int64_t> read_switched_window(const ConfigReader& config);

/// The windows of Qwen's layers: `layer_types`, or all from `max_window_layers` on.
std::vector<int64_t> read_late_windows(const ConfigReader& config, int64_t layers);

/// The layer `module`, with a bias or without.
LinearSpec linear_spec(const std::string& module, int64_t out, int64_t in, bool bias);
/// The LayerNorm `module`, with a bias.
NormSpec layer_norm_spec(const std::string& module, float eps);

/// A spec with everything but tensors and blocks.
ModelSpec begin_decoder(const DecoderFields& decoder);
/// A spec with Llama's wiring and names.
ModelSpec build_decoder(const DecoderFields& decoder);

/// Says that files hold these layers, weights and biases, as one `module`: for each of `units`
/// equal slices of their rows the first layer's rows, the second's, … `transposed`: weights as
/// [in, out].
void store_fused(ModelSpec& spec, const std::string& module,
                 std::initializer_list<const LinearSpec*> layers, int64_t units = 1,
                 bool transposed = false);

/// bad_input unless heads · head_dim is the hidden size and every head has its own keys, for
/// families whose config.json can say nothing else.
void require_spanning_heads(const ModelSpec& spec);

/// Puts the dimensions of a spec into `config`. Throws bad_input unless all blocks have the same
/// widths, which is all that such a configuration can say.
void write_decoder(const ModelSpec& spec, nlohmann::ordered_json& config);

}  // namespace attar
