#include "compress/architecture/gemma.h"

#include <cmath>

namespace attar {

DecoderFields read_gemma(const ConfigReader& config, std::string family) {
  constexpr int64_t kHeadDim = 256;
  constexpr double kQueryScalar = 256;
  if (config.flag("use_bidirectional_attention", false))
    throw config.error("use_bidirectional_attention", "is not supported");
  DecoderFields d = read_decoder(config, std::move(family),
                                 {.tied = true,
                                  .head_dim = kHeadDim,
                                  .activation_key = "hidden_activation",
                                  .activation = "gelu_pytorch_tanh"});
  d.qkv_bias = d.output_bias = config.flag("attention_bias", false);
  d.norm_offset = 1;
  d.post_norms = true;
  d.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(d.hidden)));
  d.attention_scale = static_cast<float>(
      1 / std::sqrt(config.optional_positive("query_pre_attn_scalar").value_or(kQueryScalar)));
  return d;
}

float read_softcap(const ConfigReader& config, const nlohmann::ordered_json& json, const char* key,
                   float fallback) {
  if (!json.contains(key)) return fallback;
  return static_cast<float>(config.optional_positive(key).value_or(0));
}

}  // namespace attar
