// Gated DeltaNet layers and mixtures of experts: how their tensors stand in GGUF files.
#include <fmt/core.h>

#include <algorithm>

#include "compress/formats/gguf/links.h"

namespace attar::gguf {
namespace {

using nlohmann::ordered_json;

/// The sizes of a hybrid model, from its config.json.
struct Sizes {
  int64_t hidden, layers, key_heads, value_heads, key_dim, value_dim, conv;
  int64_t experts, expert_width;
  std::vector<bool> recurrent, sparse;

  explicit Sizes(const ordered_json& config) {
    const auto size = [&](const char* key) { return config.value(key, int64_t{0}); };
    hidden = size("hidden_size");
    layers = size("num_hidden_layers");
    key_heads = size("linear_num_key_heads");
    value_heads = size("linear_num_value_heads");
    key_dim = size("linear_key_head_dim");
    value_dim = size("linear_value_head_dim");
    conv = size("linear_conv_kernel_dim");
    experts = size("num_experts");
    expert_width = size("moe_intermediate_size");
    recurrent.assign(static_cast<size_t>(layers), false);
    sparse.assign(static_cast<size_t>(layers), experts > 0);
    const int64_t interval = config.value("full_attention_interval", int64_t{4});
    const auto types = config.find("layer_types");
    for (size_t i = 0; i < recurrent.size(); ++i)
      recurrent[i] = types != config.end() ? types->at(i) == "linear_attention"
                                           : static_cast<int64_t>(i + 1) % interval != 0;
    if (const auto dense = config.find("mlp_only_layers"); dense != config.end())
      for (const int64_t layer : *dense) sparse.at(static_cast<size_t>(layer)) = false;
  }
  int64_t shared() const { return value_heads / key_heads; }  // value heads of a key head
  int64_t keys() const { return key_heads * key_dim; }
  int64_t values() const { return value_heads * value_dim; }
};

/// order[row in the file] = row by key heads, for value heads of `width` rows each; empty when that
/// is the same order.
std::vector<int64_t> tiled(const Sizes& s, int64_t width) {
  std::vector<int64_t> order;
  if (s.shared() == 1) return order;
  for (int64_t of_key = 0; of_key < s.shared(); ++of_key)
    for (int64_t key = 0; key < s.key_heads; ++key)
      for (int64_t i = 0; i < width; ++i) order.push_back((key * s.shared() + of_key) * width + i);
  return order;
}

/// The names of one layer's tensors on both sides.
struct Layer {
  std::string file, published;
  Layer(int64_t i, const char* module)
      : file(fmt::format("blk.{}.", i)), published(fmt::format("model.layers.{}.{}.", i, module)) {}

  Link matrix(const char* in_file, const std::string& name, int64_t file_rows, int64_t rows,
              int64_t cols) const {
    Link link;
    link.file = file + in_file + ".weight";
    link.published = published + name + ".weight";
    link.file_shape = {file_rows, cols};
    link.published_shape = {rows, cols};
    link.cols = cols;
    return link;
  }
  /// A number for each value head.
  Link vector(const char* in_file, const char* name, int64_t count) const {
    Link link;
    link.file = file + in_file;
    link.published = published + name;
    link.file_shape = link.published_shape = {count};
    link.cols = 1;
    return link;
  }
};

/// What both families hold alike; `order` of the value heads' numbers in the file, or empty.
void add_common(std::vector<Link>& links, const Layer& layer, const Sizes& s,
                const std::vector<int64_t>& heads, const std::vector<int64_t>& channels) {
  Link decay = layer.vector("ssm_a", "A_log", s.value_heads);
  decay.minus_exp = true;
  Link bias = layer.vector("ssm_dt.bias", "dt_bias", s.value_heads);
  for (Link* link : {&decay, &bias}) link->published_rows = heads;
  const int64_t all = 2 * s.keys() + s.values();
  Link conv = layer.matrix("ssm_conv1d", "conv1d", all, all, s.conv);
  conv.published_shape = {all, 1, s.conv};
  conv.published_rows = channels;
  links.insert(links.end(), {decay, bias, conv});
}

/// blk.N.ffn_{gate,up,down}_exps [experts, out, in] and the shared expert's gate, a vector there.
void add_experts(std::vector<Link>& links, int64_t i, const Sizes& s) {
  const Layer layer(i, "mlp");
  for (const auto& [part, out, in] :
       {std::tuple("gate", s.expert_width, s.hidden), std::tuple("up", s.expert_width, s.hidden),
        std::tuple("down", s.hidden, s.expert_width)})
    for (int64_t e = 0; e < s.experts; ++e) {
      Link link = layer.matrix("", fmt::format("experts.{}.{}_proj", e, part), out, out, in);
      link.file = fmt::format("blk.{}.ffn_{}_exps.weight", i, part);
      link.file_shape = {s.experts, out, in};
      link.file_first = e * out;
      links.push_back(std::move(link));
    }
  Link gate = layer.matrix("ffn_gate_inp_shexp", "shared_expert_gate", 1, 1, s.hidden);
  gate.file_shape = {s.hidden};
  links.push_back(std::move(gate));
}

}  // namespace

std::vector<Link> qwen3_next_links(const ordered_json& config) {
  const Sizes s(config);
  std::vector<Link> links;
  for (int64_t i = 0; i < s.layers; ++i) {
    if (s.sparse[static_cast<size_t>(i)]) add_experts(links, i, s);
    if (!s.recurrent[static_cast<size_t>(i)]) continue;
    const Layer layer(i, "linear_attn");
    add_common(links, layer, s, {}, {});
    // Published: for every key head its q, k, v of its value heads, z of them.
    const int64_t values = s.shared() * s.value_dim, unit = 2 * s.key_dim + 2 * values;
    Link qkv = layer.matrix("attn_qkv", "in_proj_qkvz", 2 * s.keys() + s.values(),
                            s.key_heads * unit, s.hidden);
    Link z = layer.matrix("attn_gate", "in_proj_qkvz", s.values(), s.key_heads * unit, s.hidden);
    const auto take = [&](Link& link, int64_t first, int64_t count) {
      for (int64_t head = 0; head < s.key_heads; ++head)
        for (int64_t row = 0; row < count; ++row)
          link.published_rows.push_back(head * unit + first + row);
    };
    take(qkv, 0, s.key_dim);
    take(qkv, s.key_dim, s.key_dim);
    take(qkv, 2 * s.key_dim, values);
    take(z, 2 * s.key_dim + values, values);
    links.push_back(std::move(qkv));
    links.push_back(std::move(z));
  }
  return links;
}

std::vector<Link> qwen3_5_links(const ordered_json& config) {
  const Sizes s(config);
  const auto heads = tiled(s, 1), values = tiled(s, s.value_dim);
  std::vector<int64_t> channels;  // q and k stay, v is tiled
  if (!values.empty()) channels = consecutive(0, 2 * s.keys());
  for (const int64_t row : values) channels.push_back(2 * s.keys() + row);
  std::vector<Link> links;
  for (int64_t i = 0; i < s.layers; ++i) {
    if (!s.recurrent[static_cast<size_t>(i)]) continue;
    const Layer layer(i, "linear_attn");
    add_common(links, layer, s, heads, channels);
    const auto add = [&](const char* in_file, const char* name, int64_t rows,
                         const std::vector<int64_t>& order) {
      Link link = layer.matrix(in_file, name, rows, rows, s.hidden);
      link.published_rows = order;
      links.push_back(std::move(link));
    };
    add("attn_qkv", "in_proj_qkv", 2 * s.keys() + s.values(), channels);
    add("attn_gate", "in_proj_z", s.values(), values);
    add("ssm_beta", "in_proj_b", s.value_heads, heads);
    add("ssm_alpha", "in_proj_a", s.value_heads, heads);
    Link out = layer.matrix("ssm_out", "out_proj", s.hidden, s.hidden, s.values());
    out.columns = values;
    links.push_back(std::move(out));
  }
  return links;
}

}  // namespace attar::gguf
