// GPT-2 (Radford et al., 2019): LayerNorm, learned positions, biases everywhere; matrices are
// stored as [in, out], q, k and v in one.
#include <cmath>

#include "compress/architecture/decoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

/// The keys that decoders share, under the names that read_decoder() knows.
nlohmann::ordered_json common_keys(const nlohmann::ordered_json& json, const std::string& where) {
  nlohmann::ordered_json config = with_defaults(json, {{"vocab_size", 50257},
                                                       {"n_embd", 768},
                                                       {"n_layer", 12},
                                                       {"n_head", 12},
                                                       {"n_positions", 1024}});
  const ConfigReader own(config, where);  // so that mistakes name the key that the file has
  for (const char* key : {"n_embd", "n_layer", "n_head", "n_positions", "n_inner"})
    own.optional_size(key);
  for (const auto& [from, to] : {std::pair("n_embd", "hidden_size"),
                                 {"n_layer", "num_hidden_layers"},
                                 {"n_head", "num_attention_heads"},
                                 {"n_positions", "max_position_embeddings"},
                                 {"n_inner", "intermediate_size"}})
    config[to] = config.contains(from) ? config[from] : nullptr;
  config.erase("head_dim");  // follows from the width, whatever the file says
  config.erase("num_key_value_heads");
  if (config["intermediate_size"].is_null() && config["n_embd"].is_number_integer())
    config["intermediate_size"] = 4 * config["n_embd"].get<int64_t>();
  return config;
}

BlockSpec build_block(const DecoderFields& d, int64_t index, float eps, bool scales) {
  const std::string prefix = fmt::format("transformer.h.{}.", index);
  BlockSpec block;
  block.attention_norm = layer_norm_spec(prefix + "ln_1", eps);
  block.mlp_norm = layer_norm_spec(prefix + "ln_2", eps);
  AttentionSpec& a = block.attention;
  a.heads = a.kv_heads = d.heads;
  a.head_dim = d.head_dim;
  a.q = linear_spec(prefix + "attn.q_proj", d.hidden, d.hidden, true);
  a.k = linear_spec(prefix + "attn.k_proj", d.hidden, d.hidden, true);
  a.v = linear_spec(prefix + "attn.v_proj", d.hidden, d.hidden, true);
  a.o = linear_spec(prefix + "attn.c_proj", d.hidden, d.hidden, true);
  a.scale = scales ? static_cast<float>(1 / std::sqrt(static_cast<double>(d.head_dim))) : 1.0f;
  block.mlp.up = linear_spec(prefix + "mlp.c_fc", d.ffn, d.hidden, true);
  block.mlp.down = linear_spec(prefix + "mlp.c_proj", d.hidden, d.ffn, true);
  block.mlp.activation = d.activation;
  block.mlp.width = d.ffn;
  return block;
}

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const auto keys = common_keys(json, where);
  const ConfigReader config(keys, where);
  const DecoderFields d = read_decoder(
      config, "gpt2",
      {.tied = true, .activation_key = "activation_function", .activation = "gelu_new"});
  for (const char* key : {"add_cross_attention", "scale_attn_by_inverse_layer_idx"})
    if (config.flag(key, false)) throw config.error(key, "is not supported");
  const auto eps =
      static_cast<float>(config.optional_positive("layer_norm_epsilon").value_or(1e-5));
  const bool scales = config.flag("scale_attn_weights", true);

  ModelSpec spec = begin_decoder(d);
  spec.embedding = "transformer.wte.weight";
  spec.positions = "transformer.wpe.weight";
  for (int64_t i = 0; i < d.layers; ++i) {
    spec.blocks.push_back(build_block(d, i, eps, scales));
    const BlockSpec block = spec.blocks.back();
    const std::string attention = fmt::format("transformer.h.{}.attn.", i);
    const AttentionSpec& a = block.attention;
    store_fused(spec, attention + "c_attn", {&a.q, &a.k, &a.v}, 1, true);
    for (const LinearSpec* alone : {&a.o, &block.mlp.up, &block.mlp.down})
      store_fused(spec, alone->module(), {alone}, 1, true);
  }
  spec.final_norm = layer_norm_spec("transformer.ln_f", eps);
  spec.head = {d.tied ? spec.embedding : "lm_head.weight", {}, d.vocab, d.hidden};
  return spec;
}

void write(const ModelSpec& spec, nlohmann::ordered_json& config) {
  require_spanning_heads(spec);
  nlohmann::ordered_json common = nlohmann::ordered_json::object();
  write_decoder(spec, common);
  config["vocab_size"] = common["vocab_size"];
  config["n_embd"] = common["hidden_size"];
  config["n_inner"] = common["intermediate_size"];
  config["n_layer"] = common["num_hidden_layers"];
  config["n_head"] = common["num_attention_heads"];
  config["tie_word_embeddings"] = common["tie_word_embeddings"];
}

}  // namespace

Family gpt2_family() {
  Family family{
      "gpt2",   {"GPT2LMHeadModel"},
      {"gpt2"}, "GPT-2: LayerNorm, learned positions, fused projections stored as [in, out]",
      read,     write};
  family.renamings = {{"h.", "transformer.h."},
                      {"wte.", "transformer.wte."},
                      {"wpe.", "transformer.wpe."},
                      {"ln_f.", "transformer.ln_f."}};
  return family;
}

}  // namespace attar
