#include "compress/architecture/decoder.h"

#include <cmath>

namespace attar {
namespace {

Activation read_activation(const ConfigReader& config) {
  const std::string name = config.optional_text("hidden_act").value_or("silu");
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu") return Activation::gelu_erf;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::gelu_tanh;
  if (name == "relu") return Activation::relu;
  if (name == "relu2") return Activation::relu_squared;
  throw config.error("hidden_act", fmt::format("unknown activation \"{}\"", name),
                     "known: silu, gelu, gelu_pytorch_tanh, gelu_new, relu, relu2");
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

float read_norm_eps(const ConfigReader& config) {
  const double eps = config.optional_positive("rms_norm_eps").value_or(1e-6);
  if (eps > 1) throw config.error("rms_norm_eps", fmt::format("{} is not small", eps));
  return static_cast<float>(eps);
}

NormSpec rms(const std::string& weight, float eps) {
  return {NormKind::rms, eps, weight, {}, 0};
}

LinearSpec linear(const std::string& module, int64_t out, int64_t in, bool bias) {
  return {module + ".weight", bias ? module + ".bias" : std::string(), out, in};
}

BlockSpec build_block(const DecoderFields& d, size_t index) {
  const std::string prefix = fmt::format("model.layers.{}.", index);
  const std::string attention = prefix + "self_attn.", mlp = prefix + "mlp.";
  BlockSpec block;
  block.attention_norm = rms(prefix + "input_layernorm.weight", d.norm_eps);
  block.mlp_norm = rms(prefix + "post_attention_layernorm.weight", d.norm_eps);

  AttentionSpec& a = block.attention;
  a.heads = d.heads;
  a.kv_heads = d.kv_heads;
  a.head_dim = d.head_dim;
  a.q = linear(attention + "q_proj", d.heads * d.head_dim, d.hidden, d.qkv_bias);
  a.k = linear(attention + "k_proj", d.kv_heads * d.head_dim, d.hidden, d.qkv_bias);
  a.v = linear(attention + "v_proj", d.kv_heads * d.head_dim, d.hidden, d.qkv_bias);
  a.o = linear(attention + "o_proj", d.hidden, d.heads * d.head_dim, d.output_bias);
  a.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d.head_dim)));
  a.rope = d.rotates.empty() || d.rotates[index] ? 0 : -1;
  a.window = d.windows.empty() ? 0 : d.windows[index];
  if (d.head_norms) {
    a.q_norm = rms(attention + "q_norm.weight", d.norm_eps);
    a.k_norm = rms(attention + "k_norm.weight", d.norm_eps);
  }
  block.mlp.gate = linear(mlp + "gate_proj", d.ffn, d.hidden, d.mlp_bias);
  block.mlp.up = linear(mlp + "up_proj", d.ffn, d.hidden, d.mlp_bias);
  block.mlp.down = linear(mlp + "down_proj", d.hidden, d.ffn, d.mlp_bias);
  block.mlp.activation = d.activation;
  block.mlp.width = d.ffn;
  return block;
}

}  // namespace

DecoderFields read_decoder(const ConfigReader& config, std::string family, bool default_tied,
                           int64_t default_head_dim) {
  DecoderFields d;
  d.family = std::move(family);
  const auto architectures = config.optional_texts("architectures");
  if (architectures && !architectures->empty()) d.architecture = architectures->front();
  d.vocab = config.size("vocab_size");
  d.hidden = config.size("hidden_size");
  d.ffn = config.size("intermediate_size");
  d.layers = config.size("num_hidden_layers");
  read_heads(config, d, default_head_dim);
  check_limits(config, d);
  d.max_positions = config.size("max_position_embeddings");
  d.norm_eps = read_norm_eps(config);
  d.activation = read_activation(config);
  d.tied = config.flag("tie_word_embeddings", default_tied);
  read_special_ids(config, d);
  return d;
}

RopeSpec read_rope(const ConfigReader& config, int64_t head_dim, double default_theta,
                   std::optional<double> default_partial) {
  RopeSpec rope;
  const bool current = config.has("rope_parameters");
  const char* key = current ? "rope_parameters" : "rope_scaling";
  const auto scaling = config.optional_object(key);
  const auto theta =
      current ? scaling->optional_positive("rope_theta") : config.optional_positive("rope_theta");
  rope.theta = theta.value_or(default_theta);
  const bool inside = current && scaling->has("partial_rotary_factor");
  const ConfigReader& partial_in = inside ? *scaling : config;
  const double partial =
      partial_in.optional_positive("partial_rotary_factor").value_or(default_partial.value_or(1.0));
  if (!default_partial && partial != 1.0)
    throw partial_in.error("partial_rotary_factor", "this family rotates whole heads");
  rope.dims = static_cast<int64_t>(static_cast<double>(head_dim) * partial);
  if (partial > 1 || rope.dims < 2 || rope.dims % 2 != 0)
    throw partial_in.error(
        "partial_rotary_factor",
        fmt::format("{} of a head of {} dimensions is no even number up to it", partial, head_dim));
  if (!scaling) return rope;

  // "type" is the older name of "rope_type".
  std::string type = scaling->optional_text("rope_type").value_or("");
  if (type.empty()) type = scaling->optional_text("type").value_or("default");
  if (type == "default") return rope;
  if (type == "linear") {
    rope.scaling = RopeScaling::linear;
  } else if (type == "llama3") {
    rope.scaling = RopeScaling::llama3;
    rope.low_freq_factor = scaling->positive("low_freq_factor");
    rope.high_freq_factor = scaling->positive("high_freq_factor");
    rope.original_max_positions = scaling->size("original_max_position_embeddings");
    if (rope.low_freq_factor >= rope.high_freq_factor)
      throw scaling->error("low_freq_factor", "must be less than high_freq_factor");
  } else {
    throw config.error(key, fmt::format("unsupported rotary scaling \"{}\"", type),
                       "supported: default, linear, llama3");
  }
  rope.factor = scaling->positive("factor");
  return rope;
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

ModelSpec build_decoder(const DecoderFields& d) {
  ModelSpec spec;
  spec.family = d.family;
  spec.architecture = d.architecture;
  spec.vocab = d.vocab;
  spec.hidden = d.hidden;
  spec.max_positions = d.max_positions;
  spec.embedding = "model.embed_tokens.weight";
  spec.ropes = {d.rope};
  for (int64_t i = 0; i < d.layers; ++i)
    spec.blocks.push_back(build_block(d, static_cast<size_t>(i)));
  spec.final_norm = rms("model.norm.weight", d.norm_eps);
  spec.head = linear("lm_head", d.vocab, d.hidden, false);
  if (d.tied) spec.head.weight = spec.embedding;
  spec.tied = d.tied;
  spec.eos_ids = d.eos_ids;
  spec.bos_id = d.bos_id;
  spec.pad_id = d.pad_id;
  return spec;
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
  if (config.contains("layer_types")) {
    auto types = nlohmann::ordered_json::array();
    for (const BlockSpec& block : spec.blocks)
      types.push_back(block.attention.window > 0 ? "sliding_attention" : "full_attention");
    config["layer_types"] = std::move(types);
  }
}

}  // namespace attar
