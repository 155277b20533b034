// Qwen 3 (dense): Llama's wiring with RMSNorm over each head of q and k, before the rotary
// embedding.
#include "compress/architecture/decoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

constexpr int64_t kDefaultHeadDim = 128;  // the published class does not derive it from hidden_size

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  DecoderFields d = read_decoder(config, "qwen3", {.head_dim = kDefaultHeadDim});
  d.qkv_bias = d.output_bias = config.flag("attention_bias", false);
  d.head_norms = true;
  d.rope = read_rope(config, d.head_dim, 10'000.0);
  d.windows = read_late_windows(config, d.layers);
  return build_decoder(d);
}

}  // namespace

Family qwen3_family() {
  return {"qwen3",   {"Qwen3ForCausalLM"},
          {"qwen3"}, "Qwen 3 dense: Llama's wiring with norms on q and k",
          read,      write_decoder};
}

}  // namespace attar
