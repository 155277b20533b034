#include "compress/architecture/shrink.h"

#include <algorithm>
#include <set>
#include <tuple>

#include "compress/architecture/family.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kHidden = 128, kWidth = 256, kExpertWidth = 128, kHeadDim = 32, kWindow = 16;

/// How many of the first layers show every kind of layer.
int64_t telling_layers(const ModelSpec& spec) {
  using Kind = std::tuple<bool, bool, bool, int>;
  const auto kind = [](const BlockSpec& block) -> Kind {
    return {block.delta_net.has_value(), block.moe.has_value(), block.attention.window > 0,
            block.attention.rope};
  };
  std::set<Kind> seen;
  size_t layers = std::min<size_t>(2, spec.blocks.size());
  for (size_t i = 0; i < spec.blocks.size(); ++i)
    if (seen.insert(kind(spec.blocks[i])).second) layers = std::max(layers, i + 1);
  return static_cast<int64_t>(layers);
}

/// Keys of one meaning; families name them differently.
using Keys = std::initializer_list<const char*>;
constexpr Keys kHiddenKeys = {"hidden_size", "n_embd", "dim"};
constexpr Keys kWidthKeys = {"intermediate_size", "n_inner", "hidden_dim"};
constexpr Keys kLayerKeys = {"num_hidden_layers", "n_layer", "n_layers"};
constexpr Keys kHeadKeys = {"num_attention_heads", "n_head", "n_heads"};

class Shrinker {
 public:
  Shrinker(Json config, const ModelSpec& spec)
      : config_(std::move(config)), layers_(telling_layers(spec)) {
    if (const AttentionSpec* attention = spec.first_attention()) old_ = *attention;
    for (const BlockSpec& block : spec.blocks) has_delta_net_ |= block.delta_net.has_value();
  }

  Json run() {
    set(kHiddenKeys, kHidden);
    set(kWidthKeys, kWidth);
    set(kLayerKeys, layers_);
    heads();
    experts();
    delta_net();
    lower("sliding_window", kWindow);
    for (const char* key : {"layer_types", "no_rope_layers", "mlp_layer_types"}) cut(key);
    if (Json* list = find("mlp_only_layers"); list != nullptr && list->is_array()) {
      Json kept = Json::array();
      for (const Json& layer : *list)
        if (layer.is_number_integer() && layer.get<int64_t>() < layers_) kept.push_back(layer);
      *list = kept;
    }
    config_.erase("quantization_config");
    return std::move(config_);
  }

 private:
  /// Null counts as absent.
  Json* find(const char* key) {
    const auto found = config_.find(key);
    return found == config_.end() || found->is_null() ? nullptr : &*found;
  }
  /// Where none of them is, the first: the family takes its published class's value otherwise.
  void set(Keys keys, int64_t value) {
    bool any = false;
    for (const char* key : keys)
      if (Json* old = find(key)) {
        *old = value;
        any = true;
      }
    if (!any) config_[*keys.begin()] = value;
  }
  void lower(const char* key, int64_t most) {
    if (Json* old = find(key); old != nullptr && old->is_number_integer())
      *old = std::min(old->get<int64_t>(), most);
  }
  /// A list with an entry for each layer.
  void cut(const char* key) {
    Json* list = find(key);
    if (list == nullptr || !list->is_array()) return;
    while (static_cast<int64_t>(list->size()) > layers_) list->erase(list->size() - 1);
  }
  /// Of `many` that share `few`: both at most 2 times fewer, sharing at most 2 to 1.
  static std::pair<int64_t, int64_t> shared(int64_t many, int64_t few) {
    const int64_t kept = std::min<int64_t>(few, 2);
    return {kept * std::min<int64_t>(many / few, 2), kept};
  }

  void heads() {
    if (old_.kv_heads == 0) return;
    const auto [heads, kv_heads] = shared(old_.heads, old_.kv_heads);
    set(kHeadKeys, heads);
    if (old_.kv_heads != old_.heads || find("num_key_value_heads") != nullptr)
      config_["num_key_value_heads"] = kv_heads;
    lower("head_dim", kHeadDim);
    int64_t head_dim = old_.head_dim;  // of a family that knows it without a key
    if (const Json* own = find("head_dim"); own != nullptr && own->is_number_integer())
      head_dim = *own;
    else if (old_.o.out == old_.heads * old_.head_dim)
      head_dim = kHidden / heads;
    for (const char* key : {"rope_scaling", "rope_parameters"})
      if (Json* rope = find(key); rope != nullptr && rope->is_object())
        for (const char* factors : {"short_factor", "long_factor"})
          if (rope->contains(factors)) resize((*rope)[factors], head_dim);
  }
  /// A list with an entry for each pair of rotated dimensions.
  void resize(Json& list, int64_t head_dim) const {
    if (!list.is_array() || list.empty()) return;
    const auto size = static_cast<int64_t>(list.size()) * head_dim / old_.head_dim;
    while (static_cast<int64_t>(list.size()) > size) list.erase(list.size() - 1);
    while (static_cast<int64_t>(list.size()) < size) list.push_back(list.back());
  }

  void experts() {
    for (const char* key : {"num_experts", "num_local_experts"}) lower(key, 4);
    lower("num_experts_per_tok", 2);
    lower("moe_intermediate_size", kExpertWidth);
    lower("shared_expert_intermediate_size", kExpertWidth);
  }
  void delta_net() {
    const Json *keys = find("linear_num_key_heads"), *values = find("linear_num_value_heads");
    if (!has_delta_net_ || keys == nullptr || values == nullptr) return;
    const auto [value_heads, key_heads] = shared(values->get<int64_t>(), keys->get<int64_t>());
    config_["linear_num_key_heads"] = key_heads;
    config_["linear_num_value_heads"] = value_heads;
    lower("linear_key_head_dim", kHeadDim);
    lower("linear_value_head_dim", kHeadDim);
  }

  Json config_;
  int64_t layers_;
  bool has_delta_net_ = false;
  AttentionSpec old_;
};

}  // namespace

Json shrunken_config(const Json& config, const std::string& where) {
  return Shrinker(text_config(config, where), read_model_spec(config, where)).run();
}

}  // namespace attar
