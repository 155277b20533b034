// GPT-NeoX and Pythia (Black et al., GPT-NeoX-20B, 2022): attention and MLP side by side, rotary
// embedding on part of each head; q, k and v of a head stand together in one matrix.
#include <cmath>

#include "compress/architecture/decoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

/// Names of the old keys as all decoders have them.
nlohmann::ordered_json common_keys(const nlohmann::ordered_json& json) {
  nlohmann::ordered_json config = with_defaults(json, {{"hidden_act", "gelu"},
                                                       {"max_position_embeddings", 2048},
                                                       {"rotary_pct", 0.25},
                                                       {"rotary_emb_base", 10000.0}});
  config.erase("head_dim");  // follows from the width, whatever the file says
  config.erase("num_key_value_heads");
  if (!config.contains("rope_theta")) config["rope_theta"] = config["rotary_emb_base"];
  if (!config.contains("partial_rotary_factor"))
    config["partial_rotary_factor"] = config["rotary_pct"];
  return config;
}

BlockSpec build_block(const DecoderFields& d, int64_t index, float eps, bool parallel) {
  const std::string prefix = fmt::format("gpt_neox.layers.{}.", index);
  BlockSpec block;
  block.residual = parallel ? Residual::parallel : Residual::pre_norm;
  block.attention_norm = layer_norm_spec(prefix + "input_layernorm", eps);
  block.mlp_norm = layer_norm_spec(prefix + "post_attention_layernorm", eps);
  AttentionSpec& a = block.attention;
  a.heads = a.kv_heads = d.heads;
  a.head_dim = d.head_dim;
  a.q = linear_spec(prefix + "attention.q_proj", d.hidden, d.hidden, d.qkv_bias);
  a.k = linear_spec(prefix + "attention.k_proj", d.hidden, d.hidden, d.qkv_bias);
  a.v = linear_spec(prefix + "attention.v_proj", d.hidden, d.hidden, d.qkv_bias);
  a.o = linear_spec(prefix + "attention.dense", d.hidden, d.hidden, d.output_bias);
  a.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(d.head_dim)));
  a.rope = 0;
  block.mlp.up = linear_spec(prefix + "mlp.dense_h_to_4h", d.ffn, d.hidden, true);
  block.mlp.down = linear_spec(prefix + "mlp.dense_4h_to_h", d.hidden, d.ffn, true);
  block.mlp.activation = d.activation;
  block.mlp.width = d.ffn;
  return block;
}

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const auto keys = common_keys(json);
  const ConfigReader config(keys, where);
  DecoderFields d = read_decoder(config, "gpt_neox", {.tied = false});
  d.qkv_bias = d.output_bias = config.flag("attention_bias", true);
  d.rope = read_rope(config, d.head_dim, 10'000.0, 0.25);
  const auto eps = static_cast<float>(config.optional_positive("layer_norm_eps").value_or(1e-5));
  const bool parallel = config.flag("use_parallel_residual", true);

  ModelSpec spec = begin_decoder(d);
  spec.embedding = "gpt_neox.embed_in.weight";
  spec.ropes = {d.rope};
  for (int64_t i = 0; i < d.layers; ++i) {
    spec.blocks.push_back(build_block(d, i, eps, parallel));
    const AttentionSpec a = spec.blocks.back().attention;
    store_fused(spec, fmt::format("gpt_neox.layers.{}.attention.query_key_value", i),
                {&a.q, &a.k, &a.v}, d.heads);
  }
  spec.final_norm = layer_norm_spec("gpt_neox.final_layer_norm", eps);
  spec.head = {d.tied ? spec.embedding : "embed_out.weight", {}, d.vocab, d.hidden};
  return spec;
}

void write(const ModelSpec& spec, nlohmann::ordered_json& config) {
  require_spanning_heads(spec);
  write_decoder(spec, config);
  config.erase("head_dim");  // follows from the hidden size
  config.erase("num_key_value_heads");
}

}  // namespace

Family gpt_neox_family() {
  return {"gpt_neox",
          {"GPTNeoXForCausalLM"},
          {"gpt_neox"},
          "GPT-NeoX and Pythia: attention and MLP in parallel, partial rotary embedding, "
          "interleaved qkv",
          read,
          write};
}

}  // namespace attar
