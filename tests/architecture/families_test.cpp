#include <fmt/core.h>

#include <cmath>
#include <map>
#include <set>

#include "compress/architecture/model.h"
#include "compress/architecture/examples.h"
#include "tests/architecture/golden_models.h"

namespace attar {
namespace {

using nlohmann::ordered_json;
using testing::golden_config;
using testing::golden_spec;
using testing::kGolden;

const std::vector<std::string> kModels = {
    "llama_gqa",   "llama_llama3rope", "llama_tied",    "mistral_swa",  "qwen2",
    "qwen3",       "qwen3_5_text",     "qwen3_next",    "smollm3_nope", "gemma2",
    "gemma3_text", "phi3_default",     "phi3_longrope", "gpt2",         "gpt_neox"};

/// All that a spec says, as text.
std::string describe(const ModelSpec& spec) {
  std::string text = fmt::format("{} {} {} {} {} {}", spec.family, spec.architecture, spec.vocab,
                                 spec.hidden, spec.max_positions, spec.tied);
  for (const RopeSpec& rope : spec.ropes)
    for (const double f : rope.frequencies()) text += fmt::format(" {:a}", f);
  for (const BlockSpec& b : spec.blocks)
    text += fmt::format(" [{} {} {} {} {} {} {:a} {:a} {} {} {}]", b.attention.heads,
                        b.attention.kv_heads, b.attention.head_dim, b.attention.rope,
                        b.attention.window, b.mlp.width, b.attention.scale, b.attention_norm.eps,
                        b.attention.softcap, static_cast<int>(b.residual),
                        static_cast<int>(b.mlp.activation));
  text += fmt::format(" {} {}", spec.embedding_scale, spec.logit_softcap);
  for (const TensorSpec& t : tensors(spec)) text += " " + t.name;
  return text;
}

TEST(Families, ReadTheGoldenModels) {
  const std::map<std::string, int64_t> parameters = {
      {"llama_gqa", 82240},     {"llama_llama3rope", 82240},
      {"llama_tied", 84416},    {"mistral_swa", 82240},
      {"qwen2", 81728},         {"qwen3", 78240},
      {"qwen3_5_text", 76688},  {"qwen3_next", 75920},
      {"smollm3_nope", 82496},  {"gemma2", 66112},
      {"gemma3_text", 81824},   {"phi3_default", 84288},
      {"phi3_longrope", 82240}, {"gpt2", 79296},
      {"gpt_neox", 87456}};
  for (const std::string& model : kModels) {
    if (!has_fixture(model)) continue;  // the runtime's tests say so
    const auto directory = ModelDirectory::open(fixture(model));
    const ModelSpec spec = read_model_spec(directory.config, model);
    EXPECT_EQ(spec.parameters(), parameters.at(model)) << model;
    EXPECT_TRUE(check_weights(spec, *directory.weights, model).empty());
    EXPECT_EQ(spec.eos_ids, std::vector<int64_t>{2});
    EXPECT_EQ(spec.bos_id, 1);
    EXPECT_EQ(spec.pad_id, 0);
  }
}

TEST(Families, BothKeyStylesSayTheSame) {
  for (const std::string& model : kModels) {
    if (!fs::exists(kGolden / model / "config.legacy.json")) continue;  // newer than the old style
    const auto legacy = golden_config(model, "config.legacy.json");
    EXPECT_EQ(describe(read_model_spec(legacy, model)), describe(golden_spec(model))) << model;
  }
}

TEST(Families, FindAFamilyByModelTypeWhenNoArchitectureIsGiven) {
  auto config = golden_config("qwen3");
  config.erase("architectures");
  const ModelSpec spec = read_model_spec(config, "config.json");
  EXPECT_EQ(spec.family, "qwen3");
  EXPECT_EQ(spec.architecture, "Qwen3ForCausalLM");
}

TEST(Families, HaveRowsOfTheirOwn) {
  std::set<std::string_view> names, architectures;
  for (const Family& family : families()) {
    EXPECT_TRUE(names.insert(family.name).second) << family.name;
    for (const auto architecture : family.architectures)
      EXPECT_TRUE(architectures.insert(architecture).second) << architecture;
    EXPECT_FALSE(family.summary.empty());
    const auto example = example_config(family.name);
    EXPECT_EQ(read_model_spec(example, "example").family, family.name);
  }
}

TEST(Families, KnowTheirDifferences) {
  const ModelSpec llama = golden_spec("llama_gqa"), mistral = golden_spec("mistral_swa"),
                  qwen2 = golden_spec("qwen2"), qwen3 = golden_spec("qwen3"),
                  smollm3 = golden_spec("smollm3_nope");
  EXPECT_EQ(llama.blocks[0].attention.window, 0);
  EXPECT_TRUE(llama.blocks[0].attention.q.bias.empty());
  EXPECT_FALSE(llama.tied);
  EXPECT_EQ(llama.head.weight, "lm_head.weight");
  EXPECT_EQ(mistral.blocks[1].attention.window, 8);
  EXPECT_EQ(qwen2.blocks[0].attention.v.bias, "model.layers.0.self_attn.v_proj.bias");
  EXPECT_TRUE(qwen2.blocks[0].attention.o.bias.empty());
  EXPECT_TRUE(qwen2.tied);
  EXPECT_EQ(qwen2.head.weight, qwen2.embedding);
  EXPECT_EQ(qwen3.blocks[0].attention.q_norm.weight, "model.layers.0.self_attn.q_norm.weight");
  EXPECT_EQ(qwen3.blocks[0].attention.head_dim, 24);
  EXPECT_FLOAT_EQ(qwen3.blocks[0].attention.scale, 1.0f / std::sqrt(24.0f));
  EXPECT_EQ(smollm3.blocks[2].attention.rope, 0);
  EXPECT_EQ(smollm3.blocks[3].attention.rope, -1);
}

TEST(Families, ReadWindows) {
  auto config = golden_config("qwen2");
  config.erase("layer_types");
  config["sliding_window"] = 8;
  config["max_window_layers"] = 1;
  EXPECT_EQ(read_model_spec(config, "").blocks[2].attention.window, 0);  // switched off
  config["use_sliding_window"] = true;
  const ModelSpec late = read_model_spec(config, "");
  EXPECT_EQ(late.blocks[0].attention.window, 0);
  EXPECT_EQ(late.blocks[1].attention.window, 8);
  config["layer_types"] = {"sliding_attention", "full_attention", "full_attention"};
  EXPECT_EQ(read_model_spec(config, "").blocks[0].attention.window, 8);

  config = golden_config("mistral_swa");
  config["sliding_window"] = nullptr;
  EXPECT_EQ(read_model_spec(config, "").blocks[0].attention.window, 0);
  config.erase("sliding_window");
  EXPECT_EQ(read_model_spec(config, "").blocks[0].attention.window, 4096);

  config = golden_config("smollm3_nope", "config.legacy.json");
  config.erase("no_rope_layers");
  config["use_sliding_window"] = true;
  config["sliding_window"] = 4;
  const ModelSpec smollm3 = read_model_spec(config, "");
  EXPECT_EQ(smollm3.blocks[0].attention.window, 0);
  EXPECT_EQ(smollm3.blocks[3].attention.window, 4);
  EXPECT_EQ(smollm3.blocks[3].attention.rope, -1);
}

TEST(Families, ReadBiasesAndListsOfEndTokens) {
  auto config = golden_config("llama_gqa");
  config["attention_bias"] = true;
  config["mlp_bias"] = true;
  config["eos_token_id"] = {2, 7};
  config["pad_token_id"] = -1;
  const ModelSpec spec = read_model_spec(config, "");
  EXPECT_EQ(spec.blocks[0].attention.o.bias, "model.layers.0.self_attn.o_proj.bias");
  EXPECT_EQ(spec.blocks[0].mlp.down.bias, "model.layers.0.mlp.down_proj.bias");
  EXPECT_EQ(spec.parameters(), 82240 + 2 * (64 + 32 + 32 + 64 + 64 + 64 + 64));
  EXPECT_EQ(spec.eos_ids, (std::vector<int64_t>{2, 7}));
  EXPECT_FALSE(spec.pad_id);
}

TEST(Families, WriteWhatTheyRead) {
  for (const std::string& model : kModels)
    for (const std::string file : {"config.json", "config.legacy.json"}) {
      if (!fs::exists(kGolden / model / file)) continue;
      auto config = golden_config(model, file);
      const ModelSpec spec = read_model_spec(config, model);
      write_model_spec(spec, config);
      EXPECT_EQ(describe(read_model_spec(config, model)), describe(spec)) << model;
    }
}

TEST(Families, WriteAPrunedModel) {
  for (const std::string& model : kModels) {
    auto config = golden_config(model);
    ModelSpec spec = read_model_spec(config, model);
    spec.blocks.erase(spec.blocks.begin());
    const bool spanning = spec.family.starts_with("gpt");  // heads make up the hidden size
    for (BlockSpec& block : spec.blocks) {
      if (!block.moe) block.mlp.width = 24;
      if (block.delta_net || spanning) continue;
      block.attention.heads /= block.attention.kv_heads;
      block.attention.kv_heads = 1;
    }
    spec.vocab = 200;
    write_model_spec(spec, config);
    const ModelSpec back = read_model_spec(config, model);
    EXPECT_EQ(back.blocks.size(), spec.blocks.size());
    EXPECT_EQ(back.vocab, 200);
    for (size_t i = 0; i < back.blocks.size(); ++i) {
      const AttentionSpec &a = back.blocks[i].attention, &b = spec.blocks[i].attention;
      EXPECT_EQ(back.blocks[i].mlp.down.in, spec.blocks[i].moe ? 0 : 24);
      EXPECT_EQ(back.blocks[i].moe.has_value(), spec.blocks[i].moe.has_value());
      EXPECT_EQ(back.blocks[i].delta_net.has_value(), spec.blocks[i].delta_net.has_value());
      EXPECT_EQ(a.k.out, b.kv_heads * b.head_dim);
      EXPECT_EQ(a.head_dim, b.head_dim);
      EXPECT_EQ(a.rope, b.rope);
      EXPECT_EQ(a.window, b.window);
    }
    if (spec.blocks.size() < 2) continue;
    (spec.blocks[1].moe ? spec.blocks[1].moe->experts[2] : spec.blocks[1].mlp).width = 23;
    testing::expect_parts(testing::refusal([&] { write_model_spec(spec, config); }),
                          {"has other widths than layer"});
  }
}

TEST(Families, RefuseHeadsThatTheirConfigurationCannotSay) {
  for (const std::string model : {"gpt2", "gpt_neox"}) {
    auto config = golden_config(model);
    ModelSpec spec = read_model_spec(config, model);
    for (BlockSpec& block : spec.blocks) block.attention.heads = block.attention.kv_heads = 2;
    testing::expect_parts(testing::refusal([&] { write_model_spec(spec, config); }),
                          {"the heads make up the hidden size", "prune layers or ffn"});
  }
}

TEST(Families, MakeANewLlama) {
  const auto config = llama_config({.vocab = 512,
                                    .hidden = 64,
                                    .ffn = 160,
                                    .layers = 3,
                                    .heads = 8,
                                    .kv_heads = 4,
                                    .head_dim = 8,
                                    .max_positions = 256,
                                    .rope_theta = 5000,
                                    .tied = true},
                                   1, 2);
  const ModelSpec spec = read_model_spec(config, "new");
  EXPECT_EQ(spec.blocks.size(), 3u);
  EXPECT_EQ(spec.blocks[0].mlp.gate.out, 160);
  EXPECT_EQ(spec.ropes[0].theta, 5000);
  EXPECT_EQ(spec.max_positions, 256);
  EXPECT_TRUE(spec.tied);
  EXPECT_EQ(spec.bos_id, 1);
}

TEST(Families, ReadRealModels) {
  const fs::path models = fs::path(ATTAR_SOURCE_DIR) / "../shared/models";
  if (!fs::exists(models)) GTEST_SKIP() << "no real models at " << models;
  for (const auto& [name, parameters] :
       std::map<std::string, int64_t>{{"stories260K-hf", 260032}, {"teacher-7M", 7344384}}) {
    const auto model = ModelDirectory::open(models / name);
    const ModelSpec spec = read_model_spec(model.config, name);
    EXPECT_EQ(spec.parameters(), parameters);
    EXPECT_TRUE(check_weights(spec, *model.weights, name).empty());
  }
  const Model ternary = open_model(models / "bitstories-3M-hf");
  EXPECT_EQ(ternary.spec.family, "bitnet");
  EXPECT_EQ(ternary.spec.blocks[0].mlp.activation, Activation::silu);
  EXPECT_TRUE(ternary.notes.empty());
}

}  // namespace
}  // namespace attar
