// Gemma 3: Gemma 2's wiring without soft caps, with norms on q and k; sliding layers rotate with a
// base of their own (Gemma Team, Gemma 3, 2025, section 2). Of its image models the text part is
// taken.
#include "compress/architecture/families/families.h"
#include "compress/architecture/gemma.h"

namespace attar {
namespace {

constexpr double kGlobalTheta = 1'000'000.0, kLocalTheta = 10'000.0;

/// "rope_parameters" per type of layer, or rope_theta with rope_scaling and rope_local_base_freq.
void read_ropes(const ConfigReader& config, DecoderFields& d) {
  const auto both = config.optional_object("rope_parameters");
  if (both && both->has("full_attention")) {
    d.rope =
        read_rope_object(both->optional_object("full_attention"), config, d.head_dim, kGlobalTheta);
    d.sliding_rope = read_rope_object(both->optional_object("sliding_attention"), config,
                                      d.head_dim, kLocalTheta);
    return;
  }
  d.rope = read_rope(config, d.head_dim, kGlobalTheta);
  d.sliding_rope = RopeSpec{};
  d.sliding_rope->dims = d.head_dim;
  d.sliding_rope->theta = config.optional_positive("rope_local_base_freq").value_or(kLocalTheta);
}

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const auto full = with_defaults(json, {{"vocab_size", 262'208},
                                         {"hidden_size", 2304},
                                         {"intermediate_size", 9216},
                                         {"num_hidden_layers", 26},
                                         {"num_attention_heads", 8},
                                         {"num_key_value_heads", 4},
                                         {"max_position_embeddings", 131'072},
                                         {"sliding_window", 4096}});
  const ConfigReader config(full, where);
  DecoderFields d = read_gemma(config, "gemma3");
  d.head_norms = true;
  d.attention_softcap = read_softcap(config, json, "attn_logit_softcapping", 0);
  d.logit_softcap = read_softcap(config, json, "final_logit_softcapping", 0);
  read_ropes(config, d);
  const int64_t window = config.size("sliding_window");
  const int64_t pattern =
      config.optional_size("sliding_window_pattern")
          .value_or(config.optional_size("_sliding_window_pattern").value_or(6));
  if (auto windows = read_layer_types(config, d.layers, window))
    d.windows = std::move(*windows);
  else
    for (int64_t i = 0; i < d.layers; ++i) d.windows.push_back((i + 1) % pattern == 0 ? 0 : window);
  return build_decoder(d);
}

/// Image models' tensors of other parts.
void fit(ModelSpec& spec, const WeightSource&) {
  for (const char* prefix : {"model.vision_tower.", "vision_tower.", "model.multi_modal_projector.",
                             "multi_modal_projector."})
    spec.left_out.push_back({prefix, "the image part of the model is not used"});
}

}  // namespace

Family gemma3_family() {
  Family family{"gemma3",
                {"Gemma3ForCausalLM"},
                {"gemma3_text"},
                "Gemma 3: Gemma 2's wiring with norms on q and k, local and global rotary bases; "
                "the text part of image models",
                read,
                write_decoder};
  family.fit = fit;
  family.multimodal = {"Gemma3ForConditionalGeneration", "gemma3"};
  family.renamings = {{"model.language_model.", "model."},
                      {"language_model.model.", "model."},
                      {"language_model.lm_head.", "lm_head."}};
  return family;
}

}  // namespace attar
