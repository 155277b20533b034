// BitNet b1.58 (Ma et al., 2024; BitNet b1.58 2B4T, 2025): Llama's wiring with norms on what o_proj
// and down_proj read. The weights are used as they are stored.
#include "compress/architecture/decoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  DecoderFields d =
      read_decoder(config, "bitnet", {.tied = false, .norm_eps = 1e-5, .activation = "relu2"});
  d.qkv_bias = d.output_bias = config.flag("attention_bias", false);
  d.sub_norms = true;
  d.rope = read_rope(config, d.head_dim, 500'000.0);
  return build_decoder(d);
}

}  // namespace

Family bitnet_family() {
  return {"bitnet",   {"BitNetForCausalLM"},
          {"bitnet"}, "BitNet b1.58: Llama's wiring with norms before o_proj and down_proj",
          read,       write_decoder};
}

}  // namespace attar
