// Opening models whose files name tensors otherwise than the published class, or hold more.
#include <map>

#include "compress/architecture/model.h"
#include "tests/architecture/golden_models.h"

namespace attar {
namespace {

using testing::expect_parts;
using testing::golden_config;
using testing::refusal;

/// A model's tensors under other names, with more of them.
class Renamed : public WeightSource {
 public:
  explicit Renamed(std::shared_ptr<const WeightSource> base) : base_(std::move(base)) {}

  void add(const std::string& name, const std::string& original) {
    names_[name] = original;
    for (WeightInfo info : base_->list())
      if (info.name == original) {
        info.name = name;
        list_.push_back(info);
      }
  }
  void add_buffer(const std::string& name, std::vector<int64_t> shape, const char* format) {
    list_.push_back({name, std::move(shape), format, 0});
  }
  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override { return names_.contains(std::string(name)); }
  Weight load(std::string_view name) const override {
    return base_->load(names_.at(std::string(name)));
  }

 private:
  std::shared_ptr<const WeightSource> base_;
  std::map<std::string, std::string> names_;
  std::vector<WeightInfo> list_;
};

/// The fixture with every tensor renamed.
template <class Rename>
std::shared_ptr<Renamed> renamed(const std::string& model, Rename rename) {
  const auto base = ModelDirectory::open(fixture(model)).weights;
  auto result = std::make_shared<Renamed>(base);
  for (const WeightInfo& info : base->list()) result->add(rename(info.name), info.name);
  return result;
}

void expect_same_weights(const Model& found, const std::string& model) {
  const Model expected = open_model(fixture(model));
  ASSERT_EQ(found.weights->list().size(), expected.weights->list().size());
  for (const WeightInfo& info : expected.weights->list())
    EXPECT_EQ(found.weights->floats(info.name), expected.weights->floats(info.name)) << info.name;
}

nlohmann::ordered_json image_config() {
  nlohmann::ordered_json text = golden_config("gemma3_text");
  for (const char* key : {"architectures", "eos_token_id", "bos_token_id", "pad_token_id",
                          "tie_word_embeddings", "dtype"})
    text.erase(key);
  return {{"architectures", {"Gemma3ForConditionalGeneration"}},
          {"model_type", "gemma3"},
          {"text_config", text},
          {"vision_config", {{"hidden_size", 12}}},
          {"eos_token_id", {2, 7}},
          {"dtype", "float32"}};
}

TEST(OpenModel, TakesTheTextPartOfAnImageModel) {
  ATTAR_NEEDS_FIXTURE("gemma3_text");
  for (const bool current : {true, false}) {
    auto files = renamed("gemma3_text", [&](const std::string& name) {
      return current ? "model.language_model." + name.substr(6) : "language_model." + name;
    });
    const std::string tower =
        std::string(current ? "model." : "") + "vision_tower.vision_model.post_layernorm.weight";
    files->add_buffer(tower, {12}, "F32");
    const Model model = open_model(ModelDirectory{"here", image_config(), files, 0});
    EXPECT_EQ(model.spec.architecture, "Gemma3ForCausalLM");
    EXPECT_EQ(model.config["architectures"][0], "Gemma3ForCausalLM");
    EXPECT_FALSE(model.config.contains("vision_config"));
    EXPECT_EQ(model.spec.eos_ids, (std::vector<int64_t>{2, 7}));
    EXPECT_TRUE(model.spec.tied);
    ASSERT_EQ(model.notes.size(), 1u);
    expect_parts(model.notes[0], {"passed over", "image part", tower.c_str()});
    expect_same_weights(model, "gemma3_text");
  }
}

TEST(OpenModel, ReadsAnImageModelsConfigurationAlone) {
  const ModelSpec spec = read_model_spec(image_config(), "config.json");
  EXPECT_EQ(spec.family, "gemma3");
  auto config = image_config();
  write_model_spec(spec, config);
  EXPECT_EQ(config["architectures"][0], "Gemma3ForCausalLM");
  config = image_config();
  config.erase("text_config");
  expect_parts(refusal([&] { read_model_spec(config, "c.json"); }),
               {"c.json: text_config", "describes no text model"});
}

TEST(OpenModel, KnowsGpt2WithoutItsPrefixAndWithItsMasks) {
  ATTAR_NEEDS_FIXTURE("gpt2");
  auto files = renamed("gpt2", [](const std::string& name) {
    return name.substr(std::string("transformer.").size());
  });
  files->add_buffer("h.0.attn.bias", {1, 1, 64, 64}, "U8");
  files->add_buffer("h.0.attn.masked_bias", {}, "F32");
  const Model model = open_model(ModelDirectory{"here", golden_config("gpt2"), files, 0});
  EXPECT_EQ(model.notes.size(), 2u);
  expect_same_weights(model, "gpt2");
  files->add("transformer.ln_f.weight", "transformer.ln_f.weight");
  expect_parts(refusal([&] {
                 open_model(ModelDirectory{"here", golden_config("gpt2"), files, 0});
               }),
               {"ln_f.weight and transformer.ln_f.weight are both transformer.ln_f.weight"});
}

TEST(OpenModel, NamesFusedTensorsAsTheyAreStored) {
  ATTAR_NEEDS_FIXTURE("phi3_default");
  const auto base = ModelDirectory::open(fixture("phi3_default")).weights;
  const auto files = std::make_shared<Renamed>(base);
  for (const WeightInfo& info : base->list())
    if (info.name != "model.layers.1.self_attn.qkv_proj.weight") files->add(info.name, info.name);
  files->add_buffer("model.layers.0.self_attn.q_proj.weight", {64, 64}, "F32");
  auto config = golden_config("phi3_default");
  config["intermediate_size"] = 128;
  expect_parts(refusal([&] {
                 open_model(ModelDirectory{"here", config, files, 0});
               }),
               {"intermediate_size is 128, but model.layers.0.mlp.gate_up_proj.weight has 96 rows "
                "in all",
                "missing: model.layers.1.self_attn.qkv_proj.weight [192, 64]",
                "wrong shape: model.layers.0.mlp.gate_up_proj.weight is [96, 64], expected [256, "
                "64]",
                "left over: model.layers.0.self_attn.q_proj.weight [64, 64]"});
}

}  // namespace
}  // namespace attar
