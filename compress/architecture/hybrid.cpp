#include "compress/architecture/hybrid.h"

#include <algorithm>

namespace attar {
namespace {

constexpr int64_t kDefaultHeadDim = 256;  // of the published classes
constexpr double kDefaultPartialRotary = 0.25;

std::vector<bool> read_recurrent(const ConfigReader& config, int64_t layers) {
  std::vector<bool> recurrent;
  if (const auto types = config.optional_texts("layer_types")) {
    if (static_cast<int64_t>(types->size()) != layers)
      throw config.error("layer_types", fmt::format("{} entries for {} layers (num_hidden_layers)",
                                                    types->size(), layers));
    for (const std::string& type : *types) {
      if (type != "linear_attention" && type != "full_attention")
        throw config.error("layer_types", fmt::format("unsupported layer type \"{}\"", type),
                           "supported: linear_attention, full_attention");
      recurrent.push_back(type == "linear_attention");
    }
    return recurrent;
  }
  const int64_t interval = config.optional_size("full_attention_interval").value_or(4);
  for (int64_t i = 0; i < layers; ++i) recurrent.push_back((i + 1) % interval != 0);
  return recurrent;
}

/// Far above any model, and low enough that sizes fit 64 bits.
void check_limit(const ConfigReader& config, const char* key, int64_t value, int64_t limit) {
  if (value > limit)
    throw config.error(key, fmt::format("{} is {}; the limit is {}", key, value, limit));
}

MlpSpec build_mlp(const std::string& prefix, int64_t width, const DecoderFields& d) {
  MlpSpec mlp;
  mlp.gate = linear_spec(prefix + "gate_proj", width, d.hidden, false);
  mlp.up = linear_spec(prefix + "up_proj", width, d.hidden, false);
  mlp.down = linear_spec(prefix + "down_proj", d.hidden, width, false);
  mlp.activation = d.activation;
  mlp.width = width;
  return mlp;
}

DeltaNetSpec build_delta_net(const std::string& prefix, const HybridFields& h) {
  const int64_t hidden = h.decoder.hidden;
  const int64_t keys = h.key_heads * h.key_dim, values = h.value_heads * h.value_dim;
  DeltaNetSpec d;
  d.q = linear_spec(prefix + "in_proj_q", keys, hidden, false);
  d.k = linear_spec(prefix + "in_proj_k", keys, hidden, false);
  d.v = linear_spec(prefix + "in_proj_v", values, hidden, false);
  d.z = linear_spec(prefix + "in_proj_z", values, hidden, false);
  d.b = linear_spec(prefix + "in_proj_b", h.value_heads, hidden, false);
  d.a = linear_spec(prefix + "in_proj_a", h.value_heads, hidden, false);
  d.out = linear_spec(prefix + "out_proj", hidden, values, false);
  d.conv = prefix + "conv1d.weight";
  d.a_log = prefix + "A_log";
  d.dt_bias = prefix + "dt_bias";
  d.norm = {NormKind::rms, h.decoder.norm_eps, prefix + "norm.weight", {}, 0};
  d.key_heads = h.key_heads;
  d.value_heads = h.value_heads;
  d.key_dim = h.key_dim;
  d.value_dim = h.value_dim;
  d.conv_width = h.conv_width;
  return d;
}

StoredTensor build_stored(const std::string& prefix, const FusedRows& fused,
                          const DeltaNetSpec& d) {
  StoredTensor stored;
  stored.name = prefix + fused.module + ".weight";
  stored.units = fused.per_key_head ? d.key_heads : 1;
  for (const char part : fused.parts)
    for (const auto& [name, linear] :
         {std::pair('q', &d.q), std::pair('k', &d.k), std::pair('v', &d.v), std::pair('z', &d.z),
          std::pair('b', &d.b), std::pair('a', &d.a)})
      if (name == part) stored.parts.push_back({linear->weight, linear->out / stored.units});
  return stored;
}

MoeSpec build_moe(const std::string& prefix, const HybridFields& h) {
  const DecoderFields& d = h.decoder;
  MoeSpec moe;
  moe.router = linear_spec(prefix + "gate", h.experts, d.hidden, false);
  for (int64_t e = 0; e < h.experts; ++e)
    moe.experts.push_back(build_mlp(fmt::format("{}experts.{}.", prefix, e), h.expert_width, d));
  moe.top_k = h.top_k;
  moe.renormalize = h.renormalize;
  moe.shared = build_mlp(prefix + "shared_expert.", h.shared_width, d);
  moe.shared_gate = linear_spec(prefix + "shared_expert_gate", 1, d.hidden, false);
  return moe;
}

/// The width that all of `found` have; 0 without any. Throws bad_input for different ones.
class OneWidth {
 public:
  explicit OneWidth(const char* key) : key_(key) {}
  void add(int64_t width, size_t layer) {
    if (width_ != 0 && width != width_)
      throw bad_input(fmt::format("layer {} has other widths than layers before it; config.json "
                                  "can only say one {}",
                                  layer, key_),
                      "config.json", "prune every layer to the same widths");
    width_ = width;
  }
  void put(nlohmann::ordered_json& config) const {
    if (width_ != 0) config[key_] = width_;
  }

 private:
  const char* key_;
  int64_t width_ = 0;
};

}  // namespace

HybridFields read_hybrid(const ConfigReader& config, std::string family) {
  HybridFields h;
  DecoderFields& d = h.decoder;
  d = read_decoder(config, std::move(family), {.head_dim = kDefaultHeadDim});
  d.qkv_bias = d.output_bias = config.flag("attention_bias", false);
  d.head_norms = true;
  d.rope = read_rope(config, d.head_dim, 10'000.0, kDefaultPartialRotary);
  h.recurrent = read_recurrent(config, d.layers);
  h.attention_gate = config.flag("attn_output_gate", true);
  h.key_heads = config.size("linear_num_key_heads");
  h.value_heads = config.size("linear_num_value_heads");
  h.key_dim = config.size("linear_key_head_dim");
  h.value_dim = config.size("linear_value_head_dim");
  h.conv_width = config.size("linear_conv_kernel_dim");
  constexpr int64_t kHeads = 1 << 12, kDim = 1 << 12, kConv = 256;
  check_limit(config, "linear_num_key_heads", h.key_heads, kHeads);
  check_limit(config, "linear_num_value_heads", h.value_heads, kHeads);
  check_limit(config, "linear_key_head_dim", h.key_dim, kDim);
  check_limit(config, "linear_value_head_dim", h.value_dim, kDim);
  check_limit(config, "linear_conv_kernel_dim", h.conv_width, kConv);
  if (h.value_heads % h.key_heads != 0)
    throw config.error(
        "linear_num_value_heads",
        fmt::format("{} value heads cannot be shared by {} key heads", h.value_heads, h.key_heads));
  return h;
}

void read_experts(const ConfigReader& config, HybridFields& h) {
  constexpr int64_t kExperts = 1 << 12, kInAll = 1 << 18, kWidth = 1 << 22;
  const int64_t layers = h.decoder.layers;
  h.experts = config.size("num_experts");
  h.top_k = config.size("num_experts_per_tok");
  h.expert_width = config.size("moe_intermediate_size");
  h.shared_width = config.size("shared_expert_intermediate_size");
  h.renormalize = config.flag("norm_topk_prob", true);
  check_limit(config, "num_experts", h.experts, std::min(kExperts, kInAll / layers));
  check_limit(config, "moe_intermediate_size", h.expert_width, kWidth);
  check_limit(config, "shared_expert_intermediate_size", h.shared_width, kWidth);
  if (h.top_k > h.experts)
    throw config.error("num_experts_per_tok",
                       fmt::format("{} of {} experts (num_experts)", h.top_k, h.experts));
  const int64_t step = config.optional_size("decoder_sparse_step").value_or(1);
  for (int64_t i = 0; i < layers; ++i) h.sparse.push_back((i + 1) % step == 0);
  for (const int64_t layer :
       config.optional_integers("mlp_only_layers").value_or(std::vector<int64_t>{})) {
    if (layer < 0 || layer >= layers)
      throw config.error("mlp_only_layers", fmt::format("there is no layer {}", layer));
    h.sparse[static_cast<size_t>(layer)] = false;
  }
}

ModelSpec build_hybrid(const HybridFields& h, const std::vector<FusedRows>& fused) {
  ModelSpec spec = build_decoder(h.decoder);
  spec.final_norm.weight_offset = 1;
  for (size_t i = 0; i < spec.blocks.size(); ++i) {
    BlockSpec& block = spec.blocks[i];
    const std::string prefix = fmt::format("model.layers.{}.", i);
    block.attention_norm.weight_offset = block.mlp_norm.weight_offset = 1;
    if (h.recurrent[i]) {
      const std::string own = prefix + "linear_attn.";
      block.attention = {};
      block.delta_net = build_delta_net(own, h);
      for (const FusedRows& rows : fused)
        spec.stored.push_back(build_stored(own, rows, *block.delta_net));
    } else {
      AttentionSpec& attention = block.attention;
      attention.q_norm.weight_offset = attention.k_norm.weight_offset = 1;
      attention.gated = h.attention_gate;
      if (attention.gated) attention.q.out *= 2;
    }
    if (h.sparse.empty() || !h.sparse[i]) continue;
    block.mlp = {};
    block.moe = build_moe(prefix + "mlp.", h);
  }
  spec.left_out = {{"model.visual.", "the text model has no use for what reads images"},
                   {"mtp.", "a head that guesses further tokens; the model runs without it"}};
  return spec;
}

void write_hybrid(const ModelSpec& spec, nlohmann::ordered_json& config) {
  if (spec.blocks.empty()) throw bad_input("a model needs at least one layer", "config.json");
  OneWidth heads("num_attention_heads"), kv_heads("num_key_value_heads"), head_dim("head_dim"),
      dense("intermediate_size"), expert("moe_intermediate_size"),
      shared("shared_expert_intermediate_size");
  auto types = nlohmann::ordered_json::array(), dense_layers = nlohmann::ordered_json::array();
  for (size_t i = 0; i < spec.blocks.size(); ++i) {
    const BlockSpec& block = spec.blocks[i];
    types.push_back(block.delta_net ? "linear_attention" : "full_attention");
    if (!block.delta_net) {
      heads.add(block.attention.heads, i);
      kv_heads.add(block.attention.kv_heads, i);
      head_dim.add(block.attention.head_dim, i);
    }
    if (block.moe) {
      for (const MlpSpec& mlp : block.moe->experts) expert.add(mlp.width, i);
      shared.add(block.moe->shared.width, i);
    } else {
      dense.add(block.mlp.width, i);
      dense_layers.push_back(i);
    }
  }
  for (const OneWidth* width : {&heads, &kv_heads, &head_dim, &dense, &expert, &shared})
    width->put(config);
  config["vocab_size"] = spec.vocab;
  config["hidden_size"] = spec.hidden;
  config["num_hidden_layers"] = spec.blocks.size();
  config["tie_word_embeddings"] = spec.tied;
  config["layer_types"] = std::move(types);
  config.erase("full_attention_interval");  // layer_types says it
  if (!config.contains("num_experts")) return;
  config["decoder_sparse_step"] = 1;
  config["mlp_only_layers"] = std::move(dense_layers);
}

}  // namespace attar
