#include "compress/architecture/decoder.h"

#include <algorithm>
#include <cmath>

namespace attar {
namespace {

Activation read_activation(const ConfigReader& config, const char* key, const char* fallback) {
  const std::string name = config.optional_text(key).value_or(fallback);
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu") return Activation::gelu_erf;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new" || name == "gelu_fast")
    return Activation::gelu_tanh;
  if (name == "relu") return Activation::relu;
  if (name == "relu2") return Activation::relu_squared;
  throw config.error(key, fmt::format("unknown activation \"{}\"", name),
                     "known: silu, gelu, gelu_pytorch_tanh, gelu_new, gelu_fast, relu, relu2");
}

std::optional<int64_t> read_id(const ConfigReader& config, const char* key) {
  const auto ids = config.ids(key);
  if (ids.size() > 1) throw config.error(key, "one token id is expected");
  if (ids.empty()) return {};
  return ids[0];
}

void read_special_ids(const ConfigReader& config, DecoderFields& decoder) {
  decoder.eos_ids = config.ids("eos_token_id");
  decoder.bos_id = read_id(config, "bos_token_id");
  // The first Llama models say −1 where they mean "none".
  if (config.optional_integer("pad_token_id").value_or(-1) != -1)
    decoder.pad_id = read_id(config, "pad_token_id");
  for (const int64_t id : decoder.eos_ids)
    if (id >= decoder.vocab)
      throw config.error("eos_token_id", fmt::format("token {} is outside the vocabulary of {}", id,
                                                     decoder.vocab));
  if (decoder.bos_id.value_or(0) >= decoder.vocab)
    throw config.error("bos_token_id", fmt::format("token {} is outside the vocabulary of {}",
                                                   *decoder.bos_id, decoder.vocab));
}

void read_heads(const ConfigReader& config, DecoderFields& decoder, int64_t default_head_dim) {
  decoder.heads = config.size("num_attention_heads");
  decoder.kv_heads = config.optional_size("num_key_value_heads").value_or(decoder.heads);
  if (decoder.heads % decoder.kv_heads != 0)
    throw config.error("num_key_value_heads",
                       fmt::format("{} attention heads cannot be shared by {} key-value heads",
                                   decoder.heads, decoder.kv_heads));
  auto head_dim = config.optional_size("head_dim");
  if (!head_dim && default_head_dim > 0) head_dim = default_head_dim;
  if (!head_dim && decoder.hidden % decoder.heads != 0)
    throw config.error(
        "num_attention_heads",
        fmt::format("hidden_size {} is no multiple of {} heads", decoder.hidden, decoder.heads),
        "a model with heads of another size says so with head_dim");
  decoder.head_dim = head_dim.value_or(decoder.hidden / decoder.heads);
  if (decoder.head_dim % 2 != 0)
    throw config.error("head_dim", fmt::format("rotary embedding needs an even head size, not {}",
                                               decoder.head_dim));
}

/// Far above any model, and low enough that the number of parameters fits 64 bits.
void check_limits(const ConfigReader& config, const DecoderFields& decoder) {
  constexpr int64_t kLayers = 10'000, kWidth = int64_t{1} << 22;
  if (decoder.layers > kLayers)
    throw config.error("num_hidden_layers",
                       fmt::format("{} layers; the limit is {}", decoder.layers, kLayers));
  for (const auto& [key, width] :
       {std::pair("hidden_size", decoder.hidden), std::pair("intermediate_size", decoder.ffn),
        std::pair("head_dim", decoder.heads * decoder.head_dim)})
    if (width > kWidth)
      throw config.error(key, fmt::format("a width of {}; the limit is {}", width, kWidth));
}

float read_norm_eps(const ConfigReader& config, double fallback) {
  const double eps = config.optional_positive("rms_norm_eps").value_or(fallback);
  if (eps > 1) throw config.error("rms_norm_eps", fmt::format("{} is not small", eps));
  return static_cast<float>(eps);
}

NormSpec rms(const DecoderFields& d, const std::string& module) {
  return {NormKind::rms, d.norm_eps, module + ".weight", {}, d.norm_offset};
}

BlockSpec build_block(const DecoderFields& d, size_t index) {
  const std::string prefix = fmt::format("model.layers.{}.", index);
  const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
  BlockSpec block;
  block.attention_norm = rms(d, prefix + "input_layernorm");
  const NormSpec after_attention = rms(d, prefix + "post_attention_layernorm");
  if (d.post_norms) {
    block.post_attention_norm = after_attention;
    block.mlp_norm = rms(d, prefix + "pre_feedforward_layernorm");
    block.post_mlp_norm = rms(d, prefix + "post_feedforward_layernorm");
  } else {
    block.mlp_norm = after_attention;
  }

  AttentionSpec& a = block.attention;
  a.heads = d.heads;
  a.kv_heads = d.kv_heads;
  a.head_dim = d.head_dim;
  a.q = linear_spec(attention + "q_proj", d.heads * d.head_dim, d.hidden, d.qkv_bias);
  a.k = linear_spec(attention + "k_proj", d.kv_heads * d.head_dim, d.hidden, d.qkv_bias);
  a.v = linear_spec(attention + "v_proj", d.kv_heads * d.head_dim, d.hidden, d.qkv_bias);
  a.o = linear_spec(attention + "o_proj", d.hidden, d.heads * d.head_dim, d.output_bias);
  a.scale = d.attention_scale > 0
                ? d.attention_scale
                : static_cast<float>(1.0 / std::sqrt(static_cast<double>(d.head_dim)));
  a.softcap = d.attention_softcap;
  a.window = d.windows.empty() ? 0 : d.windows[index];
  a.rope = d.rotates.empty() || d.rotates[index] ? 0 : -1;
  if (d.sliding_rope && a.window > 0) a.rope = 1;
  if (d.head_norms) {
    a.q_norm = rms(d, attention + "q_norm");
    a.k_norm = rms(d, attention + "k_norm");
  }
  if (d.sub_norms) {
    a.o_norm = rms(d, attention + "attn_sub_norm");
    block.mlp.down_norm = rms(d, mlp + "ffn_sub_norm");
  }
  block.mlp.gate = linear_spec(mlp + "gate_proj", d.ffn, d.hidden, d.mlp_bias);
  block.mlp.up = linear_spec(mlp + "up_proj", d.ffn, d.hidden, d.mlp_bias);
  block.mlp.down = linear_spec(mlp + "down_proj", d.hidden, d.ffn, d.mlp_bias);
  block.mlp.activation = d.activation;
  block.mlp.width = d.ffn;
  return block;
}

}  // namespace

LinearSpec linear_spec(const std::string& module, int64_t out, int64_t in, bool bias) {
  return {module + ".weight", bias ? module + ".bias" : std::string(), out, in};
}

NormSpec layer_norm_spec(const std::string& module, float eps) {
  return {NormKind::layer, eps, module + ".weight", module + ".bias", 0};
}

DecoderFields read_decoder(const ConfigReader& config, std::string family,
                           const DecoderDefaults& defaults) {
  DecoderFields d;
  d.family = std::move(family);
  const auto architectures = config.optional_texts("architectures");
  if (architectures && !architectures->empty()) d.architecture = architectures->front();
  d.vocab = config.size("vocab_size");
  d.hidden = config.size("hidden_size");
  d.ffn = config.size("intermediate_size");
  d.layers = config.size("num_hidden_layers");
  read_heads(config, d, defaults.head_dim);
  check_limits(config, d);
  d.max_positions = config.size("max_position_embeddings");
  d.norm_eps = read_norm_eps(config, defaults.norm_eps);
  d.activation = read_activation(config, defaults.activation_key, defaults.activation);
  d.tied = config.flag("tie_word_embeddings", defaults.tied);
  read_special_ids(config, d);
  return d;
}

nlohmann::ordered_json with_defaults(nlohmann::ordered_json config,
                                     const nlohmann::ordered_json& defaults) {
  for (const auto& [key, value] : defaults.items())
    if (!config.contains(key)) config[key] = value;
  return config;
}

std::optional<std::vector<int64_t>> read_layer_types(const ConfigReader& config, int64_t layers,
                                                     std::optional<int64_t> window) {
  const auto types = config.optional_texts("layer_types");
  if (!types) return {};
  if (static_cast<int64_t>(types->size()) != layers)
    throw config.error("layer_types", fmt::format("{} entries for {} layers (num_hidden_layers)",
                                                  types->size(), layers));
  std::vector<int64_t> windows;
  for (const std::string& type : *types) {
    if (type != "full_attention" && type != "sliding_attention")
      throw config.error("layer_types", fmt::format("unsupported layer type \"{}\"", type),
                         "supported: full_attention, sliding_attention");
    const bool slides = type == "sliding_attention";
    if (slides && !window)
      throw config.error("layer_types",
                         "a layer slides, but sliding_window is not set or switched off");
    windows.push_back(slides ? *window : 0);
  }
  return windows;
}

std::optional<int64_t> read_switched_window(const ConfigReader& config) {
  if (!config.flag("use_sliding_window", false)) return {};
  return config.size("sliding_window");
}

std::vector<int64_t> read_late_windows(const ConfigReader& config, int64_t layers) {
  const auto window = read_switched_window(config);
  if (auto windows = read_layer_types(config, layers, window)) return std::move(*windows);
  if (!window) return {};
  const int64_t first = config.optional_integer("max_window_layers").value_or(28);
  std::vector<int64_t> windows;
  for (int64_t i = 0; i < layers; ++i) windows.push_back(i >= first ? *window : 0);
  return windows;
}

ModelSpec begin_decoder(const DecoderFields& d) {
  ModelSpec spec;
  spec.family = d.family;
  spec.architecture = d.architecture;
  spec.vocab = d.vocab;
  spec.hidden = d.hidden;
  // What was trained on, times what the scaling of the rotary embedding is for.
  spec.max_positions = std::max(d.max_positions, d.rope.reach());
  spec.tied = d.tied;
  spec.embedding_scale = d.embedding_scale;
  spec.logit_softcap = d.logit_softcap;
  spec.eos_ids = d.eos_ids;
  spec.bos_id = d.bos_id;
  spec.pad_id = d.pad_id;
  return spec;
}

ModelSpec build_decoder(const DecoderFields& d) {
  ModelSpec spec = begin_decoder(d);
  spec.embedding = "model.embed_tokens.weight";
  spec.ropes = {d.rope};
  if (d.sliding_rope) spec.ropes.push_back(*d.sliding_rope);
  for (int64_t i = 0; i < d.layers; ++i)
    spec.blocks.push_back(build_block(d, static_cast<size_t>(i)));
  spec.final_norm = rms(d, "model.norm");
  spec.head = linear_spec("lm_head", d.vocab, d.hidden, false);
  if (d.tied) spec.head.weight = spec.embedding;
  return spec;
}

void store_fused(ModelSpec& spec, const std::string& module,
                 std::initializer_list<const LinearSpec*> layers, int64_t units, bool transposed) {
  StoredTensor weight{module + ".weight", {}, units, transposed};
  StoredTensor bias{module + ".bias", {}, units, false};
  for (const LinearSpec* layer : layers) {
    weight.parts.push_back({layer->weight, layer->out / units});
    if (!layer->bias.empty()) bias.parts.push_back({layer->bias, layer->out / units});
  }
  spec.stored.push_back(std::move(weight));
  if (!bias.parts.empty()) spec.stored.push_back(std::move(bias));
}

void require_spanning_heads(const ModelSpec& spec) {
  for (const BlockSpec& block : spec.blocks)
    if (block.attention.kv_heads * block.attention.head_dim != spec.hidden)
      throw bad_input(
          fmt::format("in {} models the heads make up the hidden size; config.json cannot describe "
                      "{} heads of {} in {}",
                      spec.family, block.attention.heads, block.attention.head_dim, spec.hidden),
          "config.json", "prune layers or ffn instead of heads");
}

void write_decoder(const ModelSpec& spec, nlohmann::ordered_json& config) {
  if (spec.blocks.empty()) throw bad_input("a model needs at least one layer", "config.json");
  const BlockSpec& first = spec.blocks.front();
  for (size_t i = 0; i < spec.blocks.size(); ++i) {
    const BlockSpec& block = spec.blocks[i];
    if (block.mlp.width != first.mlp.width || block.attention.heads != first.attention.heads ||
        block.attention.kv_heads != first.attention.kv_heads ||
        block.attention.head_dim != first.attention.head_dim)
      throw bad_input(
          fmt::format("layer {} has other widths than layer 0; config.json can only say one", i),
          "config.json", "prune every layer to the same widths");
  }
  const auto layers = static_cast<int64_t>(spec.blocks.size());
  config["vocab_size"] = spec.vocab;
  config["hidden_size"] = spec.hidden;
  config["intermediate_size"] = first.mlp.width;
  config["num_hidden_layers"] = layers;
  config["num_attention_heads"] = first.attention.heads;
  config["num_key_value_heads"] = first.attention.kv_heads;
  config["head_dim"] = first.attention.head_dim;
  config["tie_word_embeddings"] = spec.tied;
  const bool mixed = std::any_of(spec.blocks.begin(), spec.blocks.end(), [&](const auto& block) {
    return block.attention.window != first.attention.window;
  });
  if (mixed || config.contains("layer_types")) {
    auto types = nlohmann::ordered_json::array();
    for (const BlockSpec& block : spec.blocks)
      types.push_back(block.attention.window > 0 ? "sliding_attention" : "full_attention");
    config["layer_types"] = std::move(types);
  }
}

}  // namespace attar
