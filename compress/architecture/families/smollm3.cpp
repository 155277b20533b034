// SmolLM 3: Llama's wiring; every fourth layer, or those that no_rope_layers says, has no rotary
// embedding.
#include "compress/architecture/decoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

/// no_rope_layers[i] is 1 where layer i HAS a rotary embedding, 0 where it has none.
std::vector<bool> read_rotates(const ConfigReader& config, int64_t layers) {
  std::vector<bool> rotates;
  const auto listed = config.optional_integers("no_rope_layers");
  if (!listed) {
    const int64_t interval = config.optional_size("no_rope_layer_interval").value_or(4);
    for (int64_t i = 0; i < layers; ++i) rotates.push_back((i + 1) % interval != 0);
    return rotates;
  }
  if (static_cast<int64_t>(listed->size()) != layers)
    throw config.error("no_rope_layers", fmt::format("{} entries for {} layers (num_hidden_layers)",
                                                     listed->size(), layers));
  for (const int64_t entry : *listed) {
    if (entry != 0 && entry != 1) throw config.error("no_rope_layers", "entries are 0 or 1");
    rotates.push_back(entry == 1);
  }
  return rotates;
}

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  DecoderFields d = read_decoder(config, "smollm3", {.tied = true});
  d.qkv_bias = d.output_bias = config.flag("attention_bias", false);
  d.mlp_bias = config.flag("mlp_bias", false);
  d.rope = read_rope(config, d.head_dim, 2'000'000.0);
  d.rotates = read_rotates(config, d.layers);
  const auto window = read_switched_window(config);
  if (auto windows = read_layer_types(config, d.layers, window)) {
    d.windows = std::move(*windows);
  } else if (window) {  // the layers without rotary embedding slide
    for (const bool rotated : d.rotates) d.windows.push_back(rotated ? 0 : *window);
  }
  return build_decoder(d);
}

void write(const ModelSpec& spec, nlohmann::ordered_json& config) {
  write_decoder(spec, config);
  auto layers = nlohmann::ordered_json::array();
  for (const BlockSpec& block : spec.blocks) layers.push_back(block.attention.rope < 0 ? 0 : 1);
  config["no_rope_layers"] = std::move(layers);
}

}  // namespace

Family smollm3_family() {
  return {"smollm3",   {"SmolLM3ForCausalLM"},
          {"smollm3"}, "SmolLM 3: Llama's wiring, some layers without rotary embedding",
          read,        write};
}

}  // namespace attar
