#include "compress/formats/gguf/architectures.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "compress/base/error.h"
#include "compress/formats/gguf/config_keys.h"

namespace attar::gguf {
namespace {

using nlohmann::ordered_json;

const std::vector<TensorName> kLlamaOutside = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"}};

/// Llama's block; `q` and `k` say how the rows of those two stand.
std::vector<TensorName> llama_inside(RowOrder q = RowOrder::published,
                                     RowOrder k = RowOrder::published) {
  return {{"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj", q},
          {"attn_k", "self_attn.k_proj", k},   {"attn_v", "self_attn.v_proj"},
          {"attn_output", "self_attn.o_proj"}, {"attn_q_norm", "self_attn.q_norm"},
          {"attn_k_norm", "self_attn.k_norm"}, {"ffn_norm", "post_attention_layernorm"},
          {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
          {"ffn_down", "mlp.down_proj"}};
}

/// Gemma 2 and 3 norm what comes out of both halves too.
std::vector<TensorName> gemma_inside() {
  auto names = llama_inside();
  for (TensorName& name : names)
    if (name.file == "ffn_norm") name.published = "pre_feedforward_layernorm";
  names.push_back({"post_attention_norm", "post_attention_layernorm"});
  names.push_back({"post_ffw_norm", "post_feedforward_layernorm"});
  return names;
}

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

/// The scale of q·k is 1/√(query_pre_attn_scalar); only the largest models have another scalar than
/// head_dim.
void read_gemma(const File& file, ordered_json& config, int64_t largest_layers) {
  const ArchitectureKeys keys(file);
  read_decoder_keys(file, config);
  read_rope_keys(file, config);
  if (!config.contains("head_dim"))
    throw file.metadata().error(keys.key("attention.key_length"), "the size of heads is missing");
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
  config["max_position_embeddings"] = keys.size("context_length");
  config["layer_norm_eps"] = keys.number("attention.layer_norm_epsilon");
  config["hidden_act"] = "gelu";
  config["type_vocab_size"] = file.at("token_types.weight").shape.front();
}

Architecture decoder(std::string_view name, std::string_view model_type,
                     std::string_view model_class, std::vector<std::string_view> families,
                     std::vector<TensorName> inside, void (*read)(const File&, ordered_json&)) {
  Architecture row;
  row.name = name;
  row.model_type = model_type;
  row.model_class = model_class;
  row.families = std::move(families);
  row.layers = "model.layers.";
  row.outside = kLlamaOutside;
  row.inside = std::move(inside);
  row.read_config = read;
  return row;
}

std::vector<Architecture> make_table() {
  const auto interleaved = llama_inside(RowOrder::rotary_q, RowOrder::rotary_k);
  std::vector<Architecture> table = {
      decoder("llama", "llama", "LlamaForCausalLM", {"llama", "mistral"}, interleaved, read_llama),
      decoder("qwen2", "qwen2", "Qwen2ForCausalLM", {"qwen2"}, llama_inside(), read_qwen),
      decoder("qwen3", "qwen3", "Qwen3ForCausalLM", {"qwen3"}, llama_inside(), read_qwen),
      decoder("smollm3", "smollm3", "SmolLM3ForCausalLM", {"smollm3"}, interleaved, read_smollm3),
      decoder("gemma2", "gemma2", "Gemma2ForCausalLM", {"gemma2"}, gemma_inside(), read_gemma2),
      decoder("gemma3", "gemma3_text", "Gemma3ForCausalLM", {"gemma3", "gemma3_text"},
              gemma_inside(), read_gemma3),
      decoder("phi3", "phi3", "Phi3ForCausalLM", {"phi3"},
              {{"attn_norm", "input_layernorm"},
               {"attn_qkv", "self_attn.qkv_proj"},
               {"attn_output", "self_attn.o_proj"},
               {"ffn_norm", "post_attention_layernorm"},
               {"ffn_up", "mlp.gate_up_proj"},
               {"ffn_down", "mlp.down_proj"}},
              read_phi3)};
  for (Architecture& row : table)
    if (row.name == "gemma2" || row.name == "gemma3") row.norm_offset = 1;

  Architecture gpt2 = decoder("gpt2", "gpt2", "GPT2LMHeadModel", {"gpt2"},
                              {{"attn_norm", "ln_1"},
                               {"attn_qkv", "attn.c_attn"},
                               {"attn_output", "attn.c_proj"},
                               {"ffn_norm", "ln_2"},
                               {"ffn_up", "mlp.c_fc"},
                               {"ffn_down", "mlp.c_proj"}},
                              read_gpt2);
  gpt2.layers = "transformer.h.";
  gpt2.outside = {{"token_embd", "transformer.wte"},
                  {"position_embd", "transformer.wpe"},
                  {"output_norm", "transformer.ln_f"},
                  {"output", "lm_head"}};
  gpt2.transposed = true;
  table.push_back(std::move(gpt2));

  Architecture neox = decoder("gptneox", "gpt_neox", "GPTNeoXForCausalLM", {"gpt_neox"},
                              {{"attn_norm", "input_layernorm"},
                               {"attn_qkv", "attention.query_key_value", RowOrder::fused_heads},
                               {"attn_output", "attention.dense"},
                               {"ffn_norm", "post_attention_layernorm"},
                               {"ffn_up", "mlp.dense_h_to_4h"},
                               {"ffn_down", "mlp.dense_4h_to_h"}},
                              read_gptneox);
  neox.layers = "gpt_neox.layers.";
  neox.outside = {{"token_embd", "gpt_neox.embed_in"},
                  {"output_norm", "gpt_neox.final_layer_norm"},
                  {"output", "embed_out"}};
  table.push_back(std::move(neox));

  Architecture bert = decoder("bert", "bert", "BertModel", {"bert"},
                              {{"attn_q", "attention.self.query"},
                               {"attn_k", "attention.self.key"},
                               {"attn_v", "attention.self.value"},
                               {"attn_output", "attention.output.dense"},
                               {"attn_output_norm", "attention.output.LayerNorm"},
                               {"ffn_up", "intermediate.dense"},
                               {"ffn_down", "output.dense"},
                               {"layer_output_norm", "output.LayerNorm"}},
                              read_bert);
  bert.layers = "encoder.layer.";
  bert.outside = {{"token_embd", "embeddings.word_embeddings"},
                  {"position_embd", "embeddings.position_embeddings"},
                  {"token_types", "embeddings.token_type_embeddings"},
                  {"token_embd_norm", "embeddings.LayerNorm"}};
  table.push_back(std::move(bert));
  return table;
}

/// "attn_q.weight" -> "attn_q" and ".weight".
std::pair<std::string_view, std::string_view> split_suffix(std::string_view name) {
  for (const std::string_view suffix : {".weight", ".bias"})
    if (name.ends_with(suffix))
      return {name.substr(0, name.size() - suffix.size()),
              name.substr(name.size() - suffix.size())};
  return {name, {}};
}

/// What stands between `prefix` and the next dot, and what comes after that; empty when the name
/// is not of a layer.
std::pair<std::string_view, std::string_view> split_layer(std::string_view name,
                                                          std::string_view prefix) {
  if (!name.starts_with(prefix)) return {};
  const size_t dot = name.find('.', prefix.size());
  if (dot == std::string_view::npos) return {};
  const std::string_view number = name.substr(prefix.size(), dot - prefix.size());
  const bool digits = !number.empty() && std::all_of(number.begin(), number.end(),
                                                     [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return {};
  return {number, name.substr(dot + 1)};
}

constexpr std::string_view kBlocks = "blk.";

}  // namespace

std::span<const Architecture> architectures() {
  static const std::vector<Architecture> table = make_table();
  return table;
}

const Architecture& architecture_of(const File& file) {
  constexpr const char* kKey = "general.architecture";
  const std::string& name = file.metadata().required_text(kKey);
  std::vector<std::string_view> known;
  for (const Architecture& row : architectures()) {
    if (row.name == name) return row;
    known.push_back(row.name);
  }
  throw file.metadata().error(kKey, fmt::format("unknown architecture \"{}\"", name),
                              fmt::format("known: {}", fmt::join(known, ", ")));
}

const Architecture* architecture_for_family(std::string_view family) {
  for (const Architecture& row : architectures())
    if (std::find(row.families.begin(), row.families.end(), family) != row.families.end())
      return &row;
  return nullptr;
}

MappedName published_name(const Architecture& architecture, std::string_view file_name) {
  const auto [whole, whole_suffix] = split_suffix(file_name);
  for (const TensorName& row : architecture.outside)
    if (row.file == whole) return {fmt::format("{}{}", row.published, whole_suffix), row.rows};
  const auto [layer, rest] = split_layer(file_name, kBlocks);
  const auto [stem, suffix] = split_suffix(rest);
  for (const TensorName& row : architecture.inside)
    if (!layer.empty() && row.file == stem)
      return {fmt::format("{}{}.{}{}", architecture.layers, layer, row.published, suffix),
              row.rows};
  return {std::string(file_name)};
}

MappedName file_name(const Architecture& architecture, std::string_view published_name) {
  const auto [whole, whole_suffix] = split_suffix(published_name);
  for (const TensorName& row : architecture.outside)
    if (row.published == whole) return {fmt::format("{}{}", row.file, whole_suffix), row.rows};
  const auto [layer, rest] = split_layer(published_name, architecture.layers);
  const auto [stem, suffix] = split_suffix(rest);
  for (const TensorName& row : architecture.inside)
    if (!layer.empty() && row.published == stem)
      return {fmt::format("{}{}.{}{}", kBlocks, layer, row.file, suffix), row.rows};
  return {};
}

std::vector<int64_t> row_order(RowOrder kind, int64_t rows, int64_t heads) {
  std::vector<int64_t> order(static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; ++row) {
    int64_t& to = order[static_cast<size_t>(row)];
    to = row;
    if (kind == RowOrder::fused_heads) {
      const int64_t dim = rows / heads / 3, head = row / (3 * dim), part = row / dim % 3;
      to = (part * heads + head) * dim + row % dim;
    } else if (kind != RowOrder::published) {
      const int64_t dim = rows / heads, head = row / dim, half = row % dim / (dim / 2);
      to = head * dim + row % (dim / 2) * 2 + half;
    }
  }
  return order;
}

}  // namespace attar::gguf
