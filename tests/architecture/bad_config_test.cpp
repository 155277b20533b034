#include "tests/architecture/golden_models.h"

namespace attar {
namespace {

using nlohmann::ordered_json;
using testing::expect_parts;
using testing::golden_config;
using testing::refusal;

/// config.json of `model` with changes; a key that is changed to "—" is removed.
void refused(const std::string& model, const ordered_json& changes,
             std::initializer_list<const char*> parts, const std::string& file = "config.json") {
  auto config = golden_config(model, file);
  for (const auto& [key, value] : changes.items())
    if (value == "—")
      config.erase(key);
    else
      config[key] = value;
  SCOPED_TRACE(changes.dump());
  expect_parts(refusal([&] { read_model_spec(config, "here/config.json"); }), parts);
}

TEST(BadConfig, UnknownArchitecturesListTheKnownOnes) {
  refused("llama_gqa", {{"architectures", {"LlamaForCausalLLM"}}},
          {"unknown architecture \"LlamaForCausalLLM\"", "here/config.json: architectures",
           "known: LlamaForCausalLM, MistralForCausalLM"});
  refused("llama_gqa", {{"architectures", "—"}, {"model_type", "t5"}},
          {"unknown architecture \"t5\"", "config.json: model_type", "known: llama, mistral"});
  refused("llama_gqa", {{"architectures", ordered_json::array()}, {"model_type", "—"}},
          {"neither architectures nor model_type"});
  refused("llama_gqa", {{"architectures", "LlamaForCausalLM"}}, {"a list of texts"});
  refused("llama_gqa", {{"architectures", {1}}}, {"a list of texts"});
}

TEST(BadConfig, MissingAndMistypedKeys) {
  for (const char* key : {"hidden_size", "vocab_size", "intermediate_size", "num_hidden_layers",
                          "num_attention_heads", "max_position_embeddings"}) {
    refused("llama_gqa", {{key, "—"}}, {key, "is missing", "here/config.json: "});
    for (const ordered_json& value :
         {ordered_json(0), ordered_json(-4), ordered_json(1.5), ordered_json("64"),
          ordered_json(true), ordered_json(1ull << 63), ordered_json(int64_t{1} << 40)})
      refused("llama_gqa", {{key, value}}, {key, "expected a positive whole number"});
  }
  refused("llama_gqa", {{"rms_norm_eps", -1}}, {"expected a positive number"});
  refused("llama_gqa", {{"tie_word_embeddings", 1}}, {"expected true or false"});
  refused("llama_gqa", {{"hidden_act", 3}}, {"expected a text"});
  refused("llama_gqa", {{"hidden_act", "mish"}}, {"unknown activation \"mish\"", "known: silu"});
  refused("llama_gqa", {{"num_hidden_layers", 2'000'000}}, {"the limit is 10000"});
}

TEST(BadConfig, Contradictions) {
  refused("llama_gqa", {{"num_key_value_heads", 3}}, {"4 attention heads cannot be shared by 3"});
  refused("llama_gqa", {{"head_dim", 15}}, {"even head size"});
  refused("llama_gqa", {{"head_dim", nullptr}, {"num_attention_heads", 6}},
          {"hidden_size 64 is no multiple of 6 heads"});
  refused("llama_gqa", {{"eos_token_id", 256}}, {"token 256 is outside the vocabulary of 256"});
  refused("llama_gqa", {{"bos_token_id", 999}}, {"bos_token_id", "outside the vocabulary"});
  refused("llama_gqa", {{"eos_token_id", {1, -2}}}, {"a token id or a list of token ids"});
  refused("llama_gqa", {{"bos_token_id", {1, 2}}}, {"one token id"});
  refused("qwen2", {{"layer_types", {"full_attention"}}}, {"1 entries for 3 layers"});
  refused("qwen2", {{"layer_types", {"full_attention", "full_attention", "linear_attention"}}},
          {"unsupported layer type \"linear_attention\""});
  refused("qwen2", {{"layer_types", {"full_attention", "full_attention", "sliding_attention"}}},
          {"sliding_window is not set or switched off"});
  refused("qwen2", {{"use_sliding_window", true}}, {"sliding_window is missing"});
  refused("smollm3_nope", {{"no_rope_layers", {1, 1}}}, {"2 entries for 4 layers"});
  refused("smollm3_nope", {{"no_rope_layers", {1, 1, 2, 0}}}, {"entries are 0 or 1"});
}

TEST(BadConfig, RotaryEmbedding) {
  const std::string old = "config.legacy.json";
  refused("llama_gqa", {{"rope_parameters", {{"rope_type", "xpos"}, {"factor", 4}}}},
          {"unsupported rotary scaling \"xpos\"", "here/config.json: rope_parameters.rope_type",
           "supported: default, linear, dynamic, llama3, yarn, longrope"});
  refused("llama_gqa", {{"rope_scaling", {{"type", "dynamic"}}}},
          {"factor is missing", "rope_scaling.factor"}, old);
  refused("llama_gqa", {{"rope_scaling", {{"type", "yarn"}, {"factor", 4}, {"beta_fast", 1}}}},
          {"must be more than beta_slow", "rope_scaling.beta_fast"}, old);
  refused("llama_gqa", {{"rope_scaling", {{"type", "longrope"}, {"short_factor", {1, 2}}}}},
          {"2 factors for 8 pairs of rotated dimensions", "rope_scaling.short_factor"}, old);
  refused("llama_gqa", {{"rope_scaling", {{"type", "linear"}}}},
          {"factor is missing", "rope_scaling.factor"}, old);
  refused("llama_gqa", {{"rope_theta", "10000"}}, {"rope_theta"}, old);
  refused("llama_gqa", {{"rope_parameters", 3}}, {"not a JSON object", "rope_parameters"});
  refused("llama_gqa", {{"partial_rotary_factor", 0.5}}, {"rotates whole heads"}, old);
  ordered_json rope = golden_config("llama_llama3rope")["rope_parameters"];
  rope["low_freq_factor"] = 4.0;
  refused("llama_llama3rope", {{"rope_parameters", rope}}, {"less than high_freq_factor"});
  rope.erase("original_max_position_embeddings");
  refused("llama_llama3rope", {{"rope_parameters", rope}},
          {"rope_parameters.original_max_position_embeddings"});
}

/// Reads, counts, rotates and writes; an Error is a fine end, anything else is not.
void survive(const ordered_json& config, const std::string& what) {
  try {
    const ModelSpec spec = read_model_spec(config, "config.json");
    EXPECT_GT(spec.parameters(), 0) << what;
    for (const RopeSpec& rope : spec.ropes) (void)rope.frequencies(rope.original_max_positions + 1);
    ordered_json written = config;
    write_model_spec(spec, written);
    EXPECT_EQ(read_model_spec(written, "config.json").parameters(), spec.parameters()) << what;
  } catch (const Error&) {
  } catch (const std::exception& error) {
    ADD_FAILURE() << what << ": " << error.what();
  }
}

TEST(BadConfig, EveryDamagedKeyOfEveryFamilyEndsInAnError) {
  const std::vector<ordered_json> values = {nullptr,
                                            true,
                                            -1,
                                            0,
                                            1,
                                            1e300,
                                            "x",
                                            ordered_json::array(),
                                            ordered_json::object(),
                                            {1, 2},
                                            {"x"},
                                            int64_t{1} << 40,
                                            0.3,
                                            1e-300};
  for (const char* model : {"qwen3_5_text", "qwen3_next", "gemma2", "gemma3_text", "phi3_longrope",
                            "gpt2", "gpt_neox", "smollm3_nope"}) {
    for (const char* file : {"config.json", "config.legacy.json"}) {
      if (!fs::exists(testing::kGolden / model / file)) continue;
      const ordered_json whole = golden_config(model, file);
      for (const auto& [key, old] : whole.items()) {
        std::vector<ordered_json> changed;
        for (const auto& value : values) changed.push_back(value);
        if (old.is_object())
          for (const auto& [inner, unused] : old.items())
            for (const auto& value : values) {
              changed.push_back(old);
              changed.back()[inner] = value;
            }
        for (const auto& value : changed) {
          ordered_json config = whole;
          config[key] = value;
          survive(config, std::string(model) + " " + key + ": " + value.dump());
        }
        ordered_json config = whole;
        config.erase(key);
        survive(config, std::string(model) + " without " + key);
      }
    }
  }
}

TEST(BadConfig, MistakesNameTheKeysOfTheFile) {
  refused("gpt2", {{"n_embd", "64"}}, {"here/config.json: n_embd", "a positive whole number"});
  refused("gpt2", {{"n_inner", 0}}, {"here/config.json: n_inner"});
  refused("gpt2", {{"activation_function", "mish"}},
          {"here/config.json: activation_function", "unknown activation \"mish\""});
  refused("gemma2", {{"hidden_activation", "mish"}}, {"here/config.json: hidden_activation"});
  refused("gemma2", {{"use_bidirectional_attention", true}}, {"use_bidirectional_attention"});
  refused("gemma2", {{"attn_logit_softcapping", -1}}, {"attn_logit_softcapping"});
}

TEST(BadConfig, LinearScalingIsReadInTheOldStyle) {
  auto config = golden_config("llama_gqa", "config.legacy.json");
  config["rope_scaling"] = {{"type", "linear"}, {"factor", 2.0}};
  const RopeSpec rope = read_model_spec(config, "").ropes[0];
  EXPECT_EQ(rope.scaling, RopeScaling::linear);
  EXPECT_EQ(rope.factor, 2.0);
}

}  // namespace
}  // namespace attar
