// Mistral 7B and its relatives: Llama's wiring, every layer with a sliding window where one is set.
#include "compress/architecture/decoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

constexpr int64_t kDefaultWindow = 4096;  // what the published class takes when the key is absent

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  DecoderFields d = read_decoder(config, "mistral", {});
  d.rope = read_rope(config, d.head_dim, 10'000.0);
  auto window = config.optional_size("sliding_window");  // null: none
  if (!json.contains("sliding_window")) window = kDefaultWindow;
  const auto layers = static_cast<size_t>(d.layers);
  d.windows = read_layer_types(config, d.layers, window)
                  .value_or(std::vector<int64_t>(layers, window.value_or(0)));
  return build_decoder(d);
}

}  // namespace

Family mistral_family() {
  return {"mistral",   {"MistralForCausalLM"},
          {"mistral"}, "Mistral 7B, Nemo, Small: Llama's wiring with an optional sliding window",
          read,        write_decoder};
}

}  // namespace attar
