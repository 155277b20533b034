// Llama 1, 2, 3.x (Meta) and everything that publishes itself as LlamaForCausalLM.
#include "compress/architecture/decoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  DecoderFields d = read_decoder(config, "llama", {});
  d.qkv_bias = d.output_bias = config.flag("attention_bias", false);
  d.mlp_bias = config.flag("mlp_bias", false);
  d.rope = read_rope(config, d.head_dim, 10'000.0);
  return build_decoder(d);
}

}  // namespace

Family llama_family() {
  return {
      "llama",
      {"LlamaForCausalLM"},
      {"llama"},
      "Llama 1 to 3.x: grouped-query attention, rotary embedding (default, linear, llama3), SwiGLU",
      read,
      write_decoder};
}

}  // namespace attar
