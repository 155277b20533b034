// Gemma 2: norms of (1 + w) before and after each half of a block, soft-capped scores and logits,
// every second layer slides (Gemma Team, Gemma 2, 2024, section 2).
#include "compress/architecture/families/families.h"
#include "compress/architecture/gemma.h"

namespace attar {
namespace {

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const auto full = with_defaults(json, {{"vocab_size", 256'000},
                                         {"hidden_size", 2304},
                                         {"intermediate_size", 9216},
                                         {"num_hidden_layers", 26},
                                         {"num_attention_heads", 8},
                                         {"num_key_value_heads", 4},
                                         {"max_position_embeddings", 8192},
                                         {"sliding_window", 4096}});
  const ConfigReader config(full, where);
  DecoderFields d = read_gemma(config, "gemma2");
  // null switches a cap off, an absent key means the published class's default.
  d.attention_softcap = read_softcap(config, json, "attn_logit_softcapping", 50);
  d.logit_softcap = read_softcap(config, json, "final_logit_softcapping", 30);
  d.rope = read_rope(config, d.head_dim, 10'000.0);
  const int64_t window = config.size("sliding_window");
  if (auto windows = read_layer_types(config, d.layers, window))
    d.windows = std::move(*windows);
  else
    for (int64_t i = 0; i < d.layers; ++i) d.windows.push_back(i % 2 == 0 ? window : 0);
  return build_decoder(d);
}

}  // namespace

Family gemma2_family() {
  return {"gemma2",
          {"Gemma2ForCausalLM"},
          {"gemma2"},
          "Gemma 2: norms before and after each half of a block, soft caps, every second layer "
          "slides",
          read,
          write_decoder};
}

}  // namespace attar
