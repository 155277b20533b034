// Phi-3, 3.5 and 4-mini: Llama's wiring; q, k and v stand in one matrix, gate and up in another;
// long contexts by LongRoPE (Ding et al., LongRoPE, 2024).
#include "compress/architecture/decoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  DecoderFields d = read_decoder(config, "phi3", {.tied = false, .norm_eps = 1e-5});
  d.rope = read_rope(config, d.head_dim, 10'000.0, 1.0);
  if (const auto window = config.optional_size("sliding_window"))
    d.windows.assign(static_cast<size_t>(d.layers), *window);
  ModelSpec spec = build_decoder(d);
  for (size_t i = 0; i < spec.blocks.size(); ++i) {
    const auto& [q, k, v] = std::tie(spec.blocks[i].attention.q, spec.blocks[i].attention.k,
                                     spec.blocks[i].attention.v);
    const MlpSpec& mlp = spec.blocks[i].mlp;
    store_fused(spec, fmt::format("model.layers.{}.self_attn.qkv_proj", i), {&q, &k, &v});
    store_fused(spec, fmt::format("model.layers.{}.mlp.gate_up_proj", i), {&mlp.gate, &mlp.up});
  }
  return spec;
}

}  // namespace

Family phi3_family() {
  return {"phi3",
          {"Phi3ForCausalLM"},
          {"phi3"},
          "Phi-3, 3.5 and 4-mini: Llama's wiring with fused projections, partial rotary "
          "embedding, longrope",
          read,
          write_decoder};
}

}  // namespace attar
