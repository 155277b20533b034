#include "compress/formats/gguf/architecture_configs.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "compress/base/error.h"
#include "compress/formats/gguf/config_keys.h"

namespace attar::gguf {

using nlohmann::ordered_json;

namespace {

/// Of architectures whose heads have a size of their own.
void read_decoder_with_head_dim(const File& file, ordered_json& config) {
  read_decoder_keys(file, config);
  read_rope_keys(file, config);
  if (!config.contains("head_dim"))
    throw file.metadata().error(ArchitectureKeys(file).key("attention.key_length"),
                                "the size of heads is missing");
}

/// The scale of q·k is 1/√(query_pre_attn_scalar); only the largest models have another scalar than
/// head_dim.
void read_gemma(const File& file, ordered_json& config, int64_t largest_layers) {
  const ArchitectureKeys keys(file);
  read_decoder_with_head_dim(file, config);
  config["hidden_activation"] = "gelu_pytorch_tanh";
  config["attention_bias"] = false;
  const int64_t heads = config["num_attention_heads"];
  config["query_pre_attn_scalar"] = config["num_hidden_layers"] == largest_layers
                                        ? config["hidden_size"].get<int64_t>() / heads
                                        : config["head_dim"].get<int64_t>();
  const auto cap = [&](const char* suffix) {
    const double value = keys.number_or(suffix, 0);
    return value > 0 ? ordered_json(value) : ordered_json(nullptr);
  };
  config["attn_logit_softcapping"] = cap("attn_logit_softcapping");
  config["final_logit_softcapping"] = cap("final_logit_softcapping");
}

/// What Qwen 3.5 and Qwen3-Next have in common. Which layers are recurrent is seen by their
/// tensors.
void read_hybrid(const File& file, ordered_json& config) {
  const ArchitectureKeys keys(file);
  read_decoder_with_head_dim(file, config);
  config["hidden_act"] = "silu";
  config["partial_rotary_factor"] =
      static_cast<double>(keys.size("rope.dimension_count")) / config["head_dim"].get<double>();
  const auto size = [&](const char* suffix, int64_t limit) {
    const int64_t value = keys.size(suffix);
    if (value > limit)
      throw file.metadata().error(keys.key(suffix),
                                  fmt::format("{} is beyond the limit of {}", value, limit));
    return value;
  };
  constexpr int64_t kHeads = 1 << 12, kDim = 1 << 12, kConv = 256, kLayers = 10'000;
  const int64_t heads = size("ssm.time_step_rank", kHeads), inner = keys.size("ssm.inner_size");
  const int64_t key_heads = size("ssm.group_count", kHeads);
  if (inner % heads != 0 || inner / heads > kDim)
    throw file.metadata().error(keys.key("ssm.inner_size"),
                                fmt::format("{} is no multiple of {} heads", inner, heads));
  if (heads % key_heads != 0)
    throw file.metadata().error(
        keys.key("ssm.group_count"),
        fmt::format("{} value heads cannot be shared by {} key heads", heads, key_heads));
  config["linear_conv_kernel_dim"] = size("ssm.conv_kernel", kConv);
  config["linear_key_head_dim"] = size("ssm.state_size", kDim);
  config["linear_value_head_dim"] = inner / heads;
  config["linear_num_key_heads"] = key_heads;
  config["linear_num_value_heads"] = heads;
  // A head that guesses further tokens stands behind the layers.
  const int64_t layers =
      size("block_count", kLayers) - file.metadata().integer(keys.key(kGuessingLayers)).value_or(0);
  if (layers < 1) throw file.metadata().error(keys.key(kGuessingLayers), "leaves no layer");
  config["num_hidden_layers"] = layers;
  auto types = ordered_json::array();
  const int64_t channels = 2 * key_heads * config["linear_key_head_dim"].get<int64_t>() + inner;
  for (int64_t i = 0; i < layers; ++i) {
    const Tensor* conv = file.find(fmt::format("blk.{}.ssm_conv1d.weight", i));
    types.push_back(conv != nullptr ? "linear_attention" : "full_attention");
    if (conv != nullptr && conv->shape.front() != channels)
      throw bad_input(
          fmt::format("{} channels, and the keys ssm.* say {}", conv->shape.front(), channels),
          file.place(*conv));
  }
  config["layer_types"] = std::move(types);
}

}  // namespace

void read_llama(const File& file, ordered_json& config) {
  read_decoder_keys(file, config);
  read_rope_keys(file, config);
  config["hidden_act"] = "silu";
  config["attention_bias"] = file.find("blk.0.attn_q.bias") != nullptr;
  config["mlp_bias"] = file.find("blk.0.ffn_up.bias") != nullptr;
}

void read_qwen(const File& file, ordered_json& config) {
  read_decoder_keys(file, config);
  read_rope_keys(file, config);
  config["hidden_act"] = "silu";
  config["use_sliding_window"] = false;
}

void read_smollm3(const File& file, ordered_json& config) {
  read_llama(file, config);
  config["no_rope_layer_interval"] = 4;  // which llama.cpp takes as given
}

void read_gemma2(const File& file, ordered_json& config) {
  read_gemma(file, config, 46);
  config["sliding_window"] = ArchitectureKeys(file).size_or("attention.sliding_window", 4096);
}

void read_gemma3(const File& file, ordered_json& config) {
  const ArchitectureKeys keys(file);
  read_gemma(file, config, 62);
  if (!keys.has("rope.freq_base")) config["rope_theta"] = 1e6;
  config["rope_local_base_freq"] = keys.number_or("rope.freq_base_swa", 10000.0);
  config["sliding_window"] = keys.size("attention.sliding_window");
  config["sliding_window_pattern"] = keys.size_or("attention.sliding_window_pattern", 6);
}

void read_phi3(const File& file, ordered_json& config) {
  const ArchitectureKeys keys(file);
  read_decoder_keys(file, config);
  read_rope_keys(file, config);
  config["hidden_act"] = "silu";
  const int64_t head =
      config["hidden_size"].get<int64_t>() / config["num_attention_heads"].get<int64_t>();
  config["partial_rotary_factor"] =
      static_cast<double>(keys.size_or("rope.dimension_count", head)) / static_cast<double>(head);
  config["sliding_window"] = nullptr;
  if (keys.has("attention.sliding_window"))
    config["sliding_window"] = keys.size("attention.sliding_window");
  const int64_t length = config["max_position_embeddings"];
  const int64_t original = keys.size_or("rope.scaling.original_context_length", length);
  config["original_max_position_embeddings"] = original;
  const Tensor *long_factors = file.find("rope_factors_long.weight"),
               *short_factors = file.find("rope_factors_short.weight");
  if (long_factors == nullptr || short_factors == nullptr) return;
  ordered_json scaling = {{"type", "longrope"},
                          {"long_factor", long_factors->floats()},
                          {"short_factor", short_factors->floats()}};
  const double stretch = static_cast<double>(length) / static_cast<double>(original);
  const double usual =
      stretch <= 1 ? 1.0
                   : std::sqrt(1 + std::log(stretch) / std::log(static_cast<double>(original)));
  const double stated = keys.number_or("rope.scaling.attn_factor", usual);
  if (std::abs(stated - usual) > 1e-4) scaling["attention_factor"] = stated;
  config["rope_scaling"] = std::move(scaling);
}

void read_gpt2(const File& file, ordered_json& config) {
  const ArchitectureKeys keys(file);
  config["n_embd"] = keys.size("embedding_length");
  config["n_layer"] = keys.size("block_count");
  config["n_head"] = keys.size("attention.head_count");
  config["n_inner"] = keys.size("feed_forward_length");
  config["n_positions"] = keys.size("context_length");
  config["layer_norm_epsilon"] = keys.number("attention.layer_norm_epsilon");
  config["activation_function"] = "gelu_new";
  config["tie_word_embeddings"] = file.find("output.weight") == nullptr;
}

void read_gptneox(const File& file, ordered_json& config) {
  const ArchitectureKeys keys(file);
  read_decoder_keys(file, config);
  config.erase("num_key_value_heads");
  const int64_t head =
      config["hidden_size"].get<int64_t>() / config["num_attention_heads"].get<int64_t>();
  config["layer_norm_eps"] = keys.number("attention.layer_norm_epsilon");
  config["hidden_act"] = "gelu";
  config["attention_bias"] = file.find("blk.0.attn_qkv.bias") != nullptr;
  config["rotary_emb_base"] = keys.number_or("rope.freq_base", 10000.0);
  config["rotary_pct"] =
      static_cast<double>(keys.size_or("rope.dimension_count", head)) / static_cast<double>(head);
  config["use_parallel_residual"] =
      file.metadata().flag(keys.key("use_parallel_residual")).value_or(true);
}

void read_bert(const File& file, ordered_json& config) {
  const ArchitectureKeys keys(file);
  config["hidden_size"] = keys.size("embedding_length");
  config["intermediate_size"] = keys.size("feed_forward_length");
  config["num_hidden_layers"] = keys.size("block_count");
  config["num_attention_heads"] = keys.size("attention.head_count");
  config["max_position_embeddings"] = file.at("position_embd.weight").shape.front();
  config["layer_norm_eps"] = keys.number("attention.layer_norm_epsilon");
  config["hidden_act"] = "gelu";
  const Tensor* types = file.find("token_types.weight");
  config["type_vocab_size"] = types == nullptr ? 0 : types->shape.front();
  if (file.find("cls.output.weight") == nullptr) return;
  config["architectures"] = {"BertForSequenceClassification"};
  const std::string name = keys.key("classifier.output_labels");
  const auto labels = file.metadata().texts(name);
  if (!labels) throw file.metadata().error(name, "the labels of a classifier are missing");
  for (size_t i = 0; i < labels->size(); ++i) config["id2label"][std::to_string(i)] = (*labels)[i];
}

/// llama.cpp ties the output to the embedding and takes SiLU as given, unless a key says otherwise.
void read_bitnet(const File& file, ordered_json& config) {
  const ArchitectureKeys keys(file);
  read_decoder_keys(file, config);
  read_rope_keys(file, config);
  const std::string* activation = file.metadata().text(keys.key("hidden_act"));
  config["hidden_act"] = activation == nullptr ? "silu" : *activation;
  config["attention_bias"] = false;
}

void read_qwen3_5(const File& file, ordered_json& config) {
  read_hybrid(file, config);
}

void read_qwen3_next(const File& file, ordered_json& config) {
  const ArchitectureKeys keys(file);
  read_hybrid(file, config);
  constexpr int64_t kExperts = 1 << 12;
  const int64_t experts = keys.size("expert_count");
  constexpr int64_t kInAll = 1 << 18;
  if (experts > std::min(kExperts, kInAll / config["num_hidden_layers"].get<int64_t>()))
    throw file.metadata().error(
        keys.key("expert_count"),
        fmt::format("{} are beyond the limit of {} ({} in all layers)", experts, kExperts, kInAll));
  config["num_experts"] = experts;
  config["num_experts_per_tok"] = keys.size("expert_used_count");
  config["moe_intermediate_size"] = keys.size("expert_feed_forward_length");
  config["shared_expert_intermediate_size"] = keys.size("expert_shared_feed_forward_length");
  config["norm_topk_prob"] = true;  // which llama.cpp takes as given
  config["decoder_sparse_step"] = 1;
  config["mlp_only_layers"] = ordered_json::array();
}

}  // namespace attar::gguf
