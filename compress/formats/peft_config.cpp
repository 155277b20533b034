#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "compress/base/error.h"
#include "compress/formats/json.h"
#include "compress/formats/pattern.h"
#include "compress/formats/peft.h"

namespace attar {
namespace {

using nlohmann::ordered_json;

/// Keys that are read here, and keys that do not change what an adapter computes.
constexpr std::array<std::string_view, 25> kKnown = {"peft_type",
                                                     "modules_to_save",
                                                     "r",
                                                     "lora_alpha",
                                                     "lora_dropout",
                                                     "use_rslora",
                                                     "fan_in_fan_out",
                                                     "target_modules",
                                                     "rank_pattern",
                                                     "alpha_pattern",
                                                     "layers_to_transform",
                                                     "layers_pattern",
                                                     "task_type",
                                                     "bias",
                                                     "init_lora_weights",
                                                     "base_model_name_or_path",
                                                     "auto_mapping",
                                                     "revision",
                                                     "inference_mode",
                                                     "peft_version",
                                                     "megatron_core",
                                                     "qalora_group_size",
                                                     "loftq_config",
                                                     "ensure_weight_tying",
                                                     "runtime_config"};

bool neutral(const ordered_json& value) {
  return value.is_null() || value == false || (value.is_structured() && value.empty()) ||
         value == "";
}

/// Access to adapter_config.json with messages.
class Reader {
 public:
  Reader(const ordered_json& json, const std::string& where) : json_(json), where_(where) {
    if (!json.is_object()) throw bad_input("not a JSON object", where);
  }

  const ordered_json* find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }
  Error error(std::string_view key, const std::string& what, const std::string& hint = {}) const {
    return bad_input(what, fmt::format("{}: {}", where_, key), hint);
  }
  bool flag(const char* key) const {
    const ordered_json* value = find(key);
    if (value != nullptr && !value->is_boolean()) throw error(key, "expected true or false");
    return value != nullptr && value->get<bool>();
  }
  std::string text(const char* key, std::string fallback) const {
    const ordered_json* value = find(key);
    if (value == nullptr) return fallback;
    if (!value->is_string()) throw error(key, "expected a text");
    return value->get<std::string>();
  }
  int64_t rank(const std::string& key, const ordered_json& value) const {
    const auto number = json_integer(value);
    if (!number || *number < 1 || *number > 1'000'000)
      throw error(key, fmt::format("{} is no rank", value.dump()));
    return *number;
  }
  double number(const std::string& key, const ordered_json& value) const {
    if (!value.is_number() || !std::isfinite(value.get<double>()))
      throw error(key, fmt::format("{} is no number", value.dump()));
    return value.get<double>();
  }

 private:
  const ordered_json& json_;
  const std::string& where_;
};

void refuse_unsupported(const ordered_json& json, const Reader& reader) {
  const std::string type = reader.text("peft_type", "");
  if (type != "LORA")
    throw reader.error("peft_type", fmt::format("unsupported adapter type \"{}\"", type),
                       "supported: LORA");
  if (const std::string bias = reader.text("bias", "none"); bias != "none")
    throw reader.error("bias", fmt::format("adapters with bias \"{}\" are not supported", bias));
  // Some initializations (PiSSA, OLoRA, CorDA, LoftQ) subtract the first B·A from the base.
  if (const ordered_json* init = reader.find("init_lora_weights");
      init != nullptr && !init->is_boolean() && *init != "gaussian" && *init != "eva" &&
      *init != "orthogonal")
    throw reader.error("init_lora_weights",
                       fmt::format("an adapter initialized by {} belongs to a changed base, which "
                                   "is not supported",
                                   init->dump()),
                       "convert it to a plain LoRA adapter with PEFT");
  for (const auto& [key, value] : json.items())
    if (std::find(kKnown.begin(), kKnown.end(), key) == kKnown.end() && !neutral(value))
      throw reader.error(key, fmt::format("{} = {} is not supported", key, value.dump()),
                         "supported are plain and rank-stabilized LoRA adapters of linear layers");
}

void read_targets(const Reader& reader, LoraConfig& config) {
  const ordered_json* targets = reader.find("target_modules");
  if (targets == nullptr) throw reader.error("target_modules", "target_modules is missing");
  if (targets->is_string()) {
    config.target_expression = targets->get<std::string>();
    return;
  }
  const bool names =
      targets->is_array() &&
      std::all_of(targets->begin(), targets->end(), [](const auto& t) { return t.is_string(); });
  if (!names) throw reader.error("target_modules", "expected a list of names or an expression");
  config.targets = targets->get<std::vector<std::string>>();
}

void read_patterns(const Reader& reader, LoraConfig& config) {
  for (const char* key : {"rank_pattern", "alpha_pattern"}) {
    const ordered_json* patterns = reader.find(key);
    if (patterns == nullptr) continue;
    if (!patterns->is_object()) throw reader.error(key, "expected an object");
    for (const auto& [name, value] : patterns->items()) {
      const std::string place = fmt::format("{}.{}", key, name);
      if (key == std::string_view("rank_pattern"))
        config.ranks.emplace_back(name, reader.rank(place, value));
      else
        config.alphas.emplace_back(name, reader.number(place, value));
    }
  }
}

void read_layers(const Reader& reader, LoraConfig& config) {
  const ordered_json* layers = reader.find("layers_to_transform");
  if (layers == nullptr) return;
  const auto add = [&](const ordered_json& entry) {
    const auto index = json_integer(entry);
    if (!index || *index < 0)
      throw reader.error("layers_to_transform", "expected a layer number or a list of them");
    config.layers.push_back(*index);
  };
  if (layers->is_array())
    for (const auto& entry : *layers) add(entry);
  else
    add(*layers);
  if (const ordered_json* pattern = reader.find("layers_pattern");
      pattern != nullptr && !neutral(*pattern) && *pattern != "layers" &&
      *pattern != ordered_json::array({"layers"}))
    throw reader.error("layers_pattern", fmt::format("{} is not supported", pattern->dump()),
                       "supported: layers");
}

/// PEFT's rule: the key is an expression that matches the end of the name, from a dot or the
/// beginning.
template <class Value>
Value by_pattern(const std::vector<std::pair<std::string, Value>>& patterns,
                 std::string_view module, Value otherwise) {
  for (const auto& [key, value] : patterns)
    if (Pattern(fmt::format("(.*\\.)?({})", key), "adapter_config.json").matches_all(module))
      return value;
  return otherwise;
}

/// The 7 of "model.layers.7.mlp.up_proj".
std::optional<int64_t> layer_of(std::string_view module) {
  int64_t layer = -1;
  for (size_t dot = module.find('.'); dot != std::string_view::npos;) {
    const size_t next = module.find('.', dot + 1);
    if (next == std::string_view::npos) break;
    const std::string_view part = module.substr(dot + 1, next - dot - 1);
    if (!part.empty() && part.size() < 10 &&
        std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      layer = std::stoll(std::string(part));
      break;
    }
    dot = next;
  }
  if (layer < 0) return {};
  return layer;
}

/// null, or a list of names.
std::vector<std::string> read_names(const Reader& reader, const char* key) {
  const ordered_json* names = reader.find(key);
  if (names == nullptr || names->is_null()) return {};
  if (!names->is_array() ||
      !std::all_of(names->begin(), names->end(), [](const auto& n) { return n.is_string(); }))
    throw reader.error(key, "expected a list of names");
  return names->get<std::vector<std::string>>();
}

}  // namespace

LoraConfig read_lora_config(const ordered_json& json, const std::string& where) {
  const Reader reader(json, where);
  refuse_unsupported(json, reader);
  LoraConfig config;
  if (const ordered_json* rank = reader.find("r")) config.rank = reader.rank("r", *rank);
  if (const ordered_json* alpha = reader.find("lora_alpha"))
    config.alpha = reader.number("lora_alpha", *alpha);
  if (const ordered_json* dropout = reader.find("lora_dropout"))
    config.dropout = reader.number("lora_dropout", *dropout);
  config.rslora = reader.flag("use_rslora");
  config.fan_in_fan_out = reader.flag("fan_in_fan_out");
  config.task_type = reader.text("task_type", "");
  config.base_model = reader.text("base_model_name_or_path", "");
  read_targets(reader, config);
  read_patterns(reader, config);
  read_layers(reader, config);
  config.saved = read_names(reader, "modules_to_save");
  return config;
}

int64_t LoraConfig::rank_of(std::string_view module) const {
  return by_pattern(ranks, module, rank);
}

double LoraConfig::scale_of(std::string_view module) const {
  const auto divisor = static_cast<double>(rank_of(module));
  return by_pattern(alphas, module, alpha) / (rslora ? std::sqrt(divisor) : divisor);
}

bool LoraConfig::targets_module(std::string_view module) const {
  if (!layers.empty()) {
    const auto layer = layer_of(module);
    if (!layer || std::find(layers.begin(), layers.end(), *layer) == layers.end()) return false;
  }
  if (target_expression == "all-linear") return !module.ends_with("lm_head");
  if (!target_expression.empty())
    return Pattern(target_expression, "adapter_config.json: target_modules").matches_all(module);
  return std::any_of(targets.begin(), targets.end(), [&](const std::string& target) {
    return module == target || module.ends_with("." + target);
  });
}

bool LoraConfig::saves_tensor(std::string_view name) const {
  for (size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', dot + 1))
    for (const std::string& module : saved)
      if (name.substr(0, dot).ends_with(module)) return true;
  return false;
}

}  // namespace attar
