#include "compress/architecture/family.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compress/architecture/config_reader.h"
#include "compress/architecture/families/families.h"
#include "compress/base/error.h"

namespace attar {
namespace {

const Family* find_family(std::string_view name, std::vector<std::string_view> Family::*names) {
  for (const Family& family : families())
    if (std::find((family.*names).begin(), (family.*names).end(), name) != (family.*names).end())
      return &family;
  return nullptr;
}

/// "Gemma3ForConditionalGeneration", not "gemma3".
bool is_architecture(std::string_view name) {
  return name.front() >= 'A' && name.front() <= 'Z';
}

/// "architectures" decides; configurations without it are known by "model_type".
const Family& family_of(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  const auto architectures = config.optional_texts("architectures");
  const bool by_architecture = architectures && !architectures->empty();
  const auto model_type = config.optional_text("model_type");
  if (!by_architecture && !model_type)
    throw config.error("architectures", "neither architectures nor model_type names the model");
  const std::string name = by_architecture ? architectures->front() : *model_type;
  const Family* family = by_architecture ? find_family(name, &Family::architectures)
                                         : find_family(name, &Family::model_types);
  if (family != nullptr) return *family;
  std::vector<std::string_view> known;
  for (const Family& f : families()) {
    const auto& names = by_architecture ? f.architectures : f.model_types;
    known.insert(known.end(), names.begin(), names.end());
    for (const std::string_view other : f.multimodal)
      if (is_architecture(other) == by_architecture) known.push_back(other);
  }
  throw config.error(by_architecture ? "architectures" : "model_type",
                     fmt::format("unknown architecture \"{}\"", name),
                     fmt::format("known: {}", fmt::join(known, ", ")));
}

}  // namespace

std::span<const Family> families() {
  static const std::vector<Family> table = {
      llama_family(),   mistral_family(),    qwen2_family(),      qwen3_family(),
      qwen3_5_family(), qwen3_next_family(), smollm3_family(),    phi3_family(),
      gemma2_family(),  gemma3_family(),     gpt2_family(),       gpt_neox_family(),
      bitnet_family(),  bert_family(),       distilbert_family(), roberta_family(),
  };
  return table;
}

nlohmann::ordered_json text_config(const nlohmann::ordered_json& config, const std::string& where) {
  const ConfigReader reader(config, where);
  const auto architectures = reader.optional_texts("architectures");
  const std::string name = architectures && !architectures->empty()
                               ? architectures->front()
                               : reader.optional_text("model_type").value_or("");
  const Family* family = find_family(name, &Family::multimodal);
  if (family == nullptr) return config;
  if (!reader.optional_object("text_config"))
    throw reader.error("text_config", fmt::format("{} describes no text model", name));
  nlohmann::ordered_json text = config["text_config"];
  text["architectures"] = {family->architectures.front()};
  // What the outer class decides for the whole model.
  for (const char* key : {"tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id",
                          "dtype", "torch_dtype", "quantization_config"})
    if (config.contains(key) && !config[key].is_null()) text[key] = config[key];
  return text;
}

std::string published_name(const ModelSpec& spec, const std::string& name) {
  for (const Family& family : families()) {
    if (family.name != spec.family) continue;
    for (const auto& [from, to] : family.renamings)
      if (name.starts_with(from)) return std::string(to) + name.substr(from.size());
  }
  return name;
}

ModelSpec read_model_spec(const nlohmann::ordered_json& whole, const std::string& where) {
  const nlohmann::ordered_json config = text_config(whole, where);
  const Family& family = family_of(config, where);
  ModelSpec spec = family.read(config, where);
  if (spec.architecture.empty()) spec.architecture = family.architectures.front();
  return spec;
}

void fit_model_spec(ModelSpec& spec, const WeightSource& weights) {
  for (const Family& family : families())
    if (family.name == spec.family && family.fit != nullptr) family.fit(spec, weights);
}

void write_model_spec(const ModelSpec& spec, nlohmann::ordered_json& config) {
  config = text_config(config, "config.json");
  family_of(config, "config.json").write(spec, config);
}

nlohmann::ordered_json llama_config(const LlamaShape& shape, int64_t bos, int64_t eos) {
  nlohmann::ordered_json config;
  config["architectures"] = {"LlamaForCausalLM"};
  config["model_type"] = "llama";
  config["vocab_size"] = shape.vocab;
  config["hidden_size"] = shape.hidden;
  config["intermediate_size"] = shape.ffn;
  config["num_hidden_layers"] = shape.layers;
  config["num_attention_heads"] = shape.heads;
  config["num_key_value_heads"] = shape.kv_heads;
  config["head_dim"] = shape.head_dim;
  config["max_position_embeddings"] = shape.max_positions;
  config["hidden_act"] = "silu";
  config["rms_norm_eps"] = 1e-5;
  config["rope_theta"] = shape.rope_theta;  // the old keys: all readers know them
  config["rope_scaling"] = nullptr;
  config["attention_bias"] = false;
  config["mlp_bias"] = false;
  config["tie_word_embeddings"] = shape.tied;
  config["initializer_range"] = 0.02;
  config["bos_token_id"] = bos;
  config["eos_token_id"] = eos;
  config["torch_dtype"] = "float32";
  config["use_cache"] = true;
  return config;
}

}  // namespace attar
