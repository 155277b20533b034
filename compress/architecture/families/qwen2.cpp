// Qwen 2 and 2.5: Llama's wiring; q, k and v have biases though no key says so; later layers may
// slide.
#include "compress/architecture/decoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  DecoderFields d = read_decoder(config, "qwen2", {});
  d.qkv_bias = true;
  d.rope = read_rope(config, d.head_dim, 10'000.0);
  d.windows = read_late_windows(config, d.layers);
  return build_decoder(d);
}

}  // namespace

Family qwen2_family() {
  return {"qwen2",   {"Qwen2ForCausalLM"},
          {"qwen2"}, "Qwen 2 and 2.5: Llama's wiring with biases on q, k and v",
          read,      write_decoder};
}

}  // namespace attar
