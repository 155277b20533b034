#include "compress/formats/gguf/architectures.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/formats/gguf/architecture_configs.h"

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

/// Llama's names, and those of Gated DeltaNet layers and experts that are one for one.
std::vector<TensorName> hybrid_inside() {
  auto names = llama_inside();
  for (TensorName& name : names)
    if (name.file == "ffn_norm") name.file = "post_attention_norm";
  for (const TensorName& name :
       {TensorName{"ssm_ba", "linear_attn.in_proj_ba"}, TensorName{"ssm_norm", "linear_attn.norm"},
        TensorName{"ssm_out", "linear_attn.out_proj"}, TensorName{"ffn_gate_inp", "mlp.gate"},
        TensorName{"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
        TensorName{"ffn_up_shexp", "mlp.shared_expert.up_proj"},
        TensorName{"ffn_down_shexp", "mlp.shared_expert.down_proj"}})
    names.push_back(name);
  return names;
}

/// One architecture of llama.cpp, three of ours: the first is what its files are read as.
void add_encoders(std::vector<Architecture>& table) {
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
  bert.prefix = "bert.";
  bert.layers = "encoder.layer.";
  bert.outside = {{"token_embd", "embeddings.word_embeddings"},
                  {"position_embd", "embeddings.position_embeddings"},
                  {"token_types", "embeddings.token_type_embeddings"},
                  {"token_embd_norm", "embeddings.LayerNorm"},
                  {"cls", "pooler.dense"},
                  {"cls.output", "classifier"}};
  Architecture roberta = bert;
  roberta.families = {"roberta"};
  roberta.prefix = "roberta.";
  roberta.outside[4].published = "classifier.dense";
  roberta.outside[5].published = "classifier.out_proj";
  Architecture distilbert = bert;
  distilbert.families = {"distilbert"};
  distilbert.prefix = "distilbert.";
  distilbert.layers = "transformer.layer.";
  distilbert.outside.resize(4);  // its classifier has a ReLU where the file's readers have a tanh
  distilbert.inside = {{"attn_q", "attention.q_lin"},
                       {"attn_k", "attention.k_lin"},
                       {"attn_v", "attention.v_lin"},
                       {"attn_output", "attention.out_lin"},
                       {"attn_output_norm", "sa_layer_norm"},
                       {"ffn_up", "ffn.lin1"},
                       {"ffn_down", "ffn.lin2"},
                       {"layer_output_norm", "output_layer_norm"}};
  table.insert(table.end(), {bert, roberta, distilbert});
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

  auto sub_normed = llama_inside();
  sub_normed.push_back({"attn_sub_norm", "self_attn.attn_sub_norm"});
  sub_normed.push_back({"ffn_sub_norm", "mlp.ffn_sub_norm"});
  table.push_back(
      decoder("bitnet", "bitnet", "BitNetForCausalLM", {"bitnet"}, sub_normed, read_bitnet));

  table.push_back(decoder("qwen35", "qwen3_5_text", "Qwen3_5ForCausalLM", {"qwen3_5"},
                          hybrid_inside(), read_qwen3_5));
  table.back().links = qwen3_5_links;
  table.push_back(decoder("qwen3next", "qwen3_next", "Qwen3NextForCausalLM", {"qwen3_next"},
                          hybrid_inside(), read_qwen3_next));
  table.back().links = qwen3_next_links;
  for (Architecture& row : table)
    if (row.links != nullptr) row.norm_offset = 1;

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

  add_encoders(table);
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

/// A tensor's name on the other side with the order of its rows.
struct Mapped {
  std::string name;
  RowOrder rows = RowOrder::published;
};

/// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; an unknown name stays.
Mapped published_name(const Architecture& architecture, std::string_view file_name) {
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

/// The other way; an empty name when the architecture has no such tensor.
Mapped file_name(const Architecture& architecture, std::string_view published_name) {
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

int64_t heads_of(RowOrder rows, const Heads& heads) {
  return rows == RowOrder::rotary_k ? heads.kv : heads.all;
}

/// published[row in the file] = published row, [rows].
std::vector<int64_t> published_rows(RowOrder kind, int64_t rows, int64_t heads) {
  std::vector<int64_t> published(static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; ++row) {
    int64_t in_file = row;
    if (kind == RowOrder::fused_heads) {
      const int64_t dim = rows / heads / 3, head = row / (3 * dim), part = row / dim % 3;
      in_file = (part * heads + head) * dim + row % dim;
    } else {
      const int64_t dim = rows / heads, head = row / dim, half = row % dim / (dim / 2);
      in_file = head * dim + row % (dim / 2) * 2 + half;
    }
    published[static_cast<size_t>(in_file)] = row;
  }
  return published;
}

/// Whether a matrix is published as [in, out], the other way round than in the file.
bool is_turned(const Architecture& architecture, std::string_view file_name,
               const std::vector<int64_t>& shape) {
  return architecture.transposed && shape.size() == 2 && file_name.starts_with(kBlocks);
}

/// The link of a file's tensor with its counterpart, whose name is yet to be set.
Link one_for_one(const Architecture& architecture, std::string_view file,
                 const std::vector<int64_t>& file_shape, RowOrder order, const Heads& heads,
                 const std::string& place) {
  Link link;
  link.file = file;
  link.file_shape = link.published_shape = file_shape;
  link.transposed = is_turned(architecture, file, file_shape);
  if (link.transposed) std::swap(link.published_shape[0], link.published_shape[1]);
  link.cols = file_shape.size() == 2 || order == RowOrder::published ? file_shape.back() : 1;
  if (order == RowOrder::published) return link;
  const int64_t rows = file_shape.front(), count = heads_of(order, heads);
  const int64_t unit = count * (order == RowOrder::fused_heads ? 3 : 2);
  if (unit < 1 || rows % unit != 0 || file_shape.size() > 2)
    throw bad_input(fmt::format("{} rows do not fit {} heads", rows, count), place);
  link.published_rows = published_rows(order, rows, count);
  return link;
}

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
    if (known.empty() || known.back() != row.name) known.push_back(row.name);
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

float Architecture::offset_of(std::string_view file_name) const {
  const bool moved = file_name.ends_with("norm.weight") && !file_name.ends_with("ssm_norm.weight");
  return moved ? norm_offset : 0;
}

Link link_from(const Architecture& architecture, const Tensor& tensor, const Heads& heads,
               const std::string& place) {
  const Mapped mapped = published_name(architecture, tensor.name);
  Link link = one_for_one(architecture, tensor.name, tensor.shape, mapped.rows, heads, place);
  link.published = mapped.name;
  return link;
}

std::optional<Link> link_to(const Architecture& architecture, const std::string& tensor,
                            const std::vector<int64_t>& shape, const Heads& heads) {
  std::string_view bare = tensor;
  if (bare.starts_with(architecture.prefix)) bare.remove_prefix(architecture.prefix.size());
  const Mapped mapped = file_name(architecture, bare);
  if (mapped.name.empty()) return {};
  auto file_shape = shape;
  if (is_turned(architecture, mapped.name, shape)) std::swap(file_shape[0], file_shape[1]);
  Link link = one_for_one(architecture, mapped.name, file_shape, mapped.rows, heads, tensor);
  link.published = tensor;
  return link;
}

}  // namespace attar::gguf
