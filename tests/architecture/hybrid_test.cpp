// Qwen 3.5 and Qwen3-Next: what is special about their configurations and files.
#include <map>

#include "compress/architecture/model.h"
#include "compress/architecture/shrink.h"
#include "tests/architecture/golden_models.h"

namespace attar {
namespace {

using nlohmann::ordered_json;
using testing::expect_parts;
using testing::golden_config;
using testing::golden_spec;
using testing::kGolden;
using testing::refusal;

std::string refusal_with(const std::string& model, const char* key, const ordered_json& value) {
  auto config = golden_config(model);
  config[key] = value;
  return refusal([&] { read_model_spec(config, "config.json"); });
}

TEST(Hybrid, RefusesWhatDoesNotFit) {
  expect_parts(refusal_with("qwen3_5_text", "linear_num_value_heads", 3),
               {"linear_num_value_heads", "3 value heads cannot be shared by 2 key heads"});
  expect_parts(refusal_with("qwen3_5_text", "linear_key_head_dim", nullptr),
               {"linear_key_head_dim is missing"});
  expect_parts(refusal_with("qwen3_5_text", "linear_conv_kernel_dim", 100000), {"the limit is"});
  expect_parts(refusal_with("qwen3_5_text", "layer_types", {"linear_attention"}),
               {"1 entries for 4 layers"});
  expect_parts(refusal_with("qwen3_5_text", "layer_types", ordered_json(4, "sliding_attention")),
               {"unsupported layer type \"sliding_attention\""});
  expect_parts(refusal_with("qwen3_next", "num_experts_per_tok", 5), {"5 of 4 experts"});
  expect_parts(refusal_with("qwen3_next", "num_experts", 1 << 20), {"num_experts", "the limit is"});
  expect_parts(refusal_with("qwen3_next", "mlp_only_layers", {4}), {"there is no layer 4"});
  expect_parts(refusal_with("qwen3_next", "moe_intermediate_size", 0), {"moe_intermediate_size"});
  auto config = golden_config("qwen3_next");
  config["rope_parameters"]["partial_rotary_factor"] = 1.5;
  expect_parts(refusal([&] { read_model_spec(config, "config.json"); }),
               {"rope_parameters.partial_rotary_factor", "1.5 of a head of 16"});
}

TEST(Hybrid, ReadsIntervalsAndSparseSteps) {
  auto config = golden_config("qwen3_next");
  config.erase("layer_types");
  config["full_attention_interval"] = 2;
  config["decoder_sparse_step"] = 2;
  config["mlp_only_layers"] = ordered_json::array();
  const ModelSpec spec = read_model_spec(config, "");
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(spec.blocks[i].delta_net.has_value(), i % 2 == 0);
    EXPECT_EQ(spec.blocks[i].moe.has_value(), i % 2 == 1);
  }
  EXPECT_EQ(spec.ropes[0].dims, 4);
}

TEST(Hybrid, WritesWhichLayersAreLeft) {
  auto config = golden_config("qwen3_next", "config.legacy.json");
  ModelSpec spec = read_model_spec(config, "");
  spec.blocks.erase(spec.blocks.begin());
  write_model_spec(spec, config);
  const ModelSpec back = read_model_spec(config, "");
  ASSERT_EQ(back.blocks.size(), 3u);
  EXPECT_FALSE(back.blocks[0].moe);
  EXPECT_TRUE(back.blocks[1].moe);
  EXPECT_TRUE(back.blocks[1].delta_net);
  EXPECT_FALSE(back.blocks[2].delta_net);
}

TEST(Hybrid, TakesFusedRowsApartByKeyHead) {
  const Model model = open_model(kGolden / "qwen3_next");
  const DeltaNetSpec& net = *model.spec.blocks[0].delta_net;
  const auto whole = model.stored->floats("model.layers.0.linear_attn.in_proj_qkvz.weight");
  const auto z = model.weights->floats(net.z.weight), k = model.weights->floats(net.k.weight);
  // Of each of 2 key heads: 8 rows of q, 8 of k, 2 · 8 of v, 2 · 8 of z; 48 columns.
  const auto row = [](const std::vector<float>& rows, size_t index) {
    const auto begin = rows.begin() + static_cast<long>(index * 48);
    return std::vector<float>(begin, begin + 48);
  };
  EXPECT_EQ(k.size(), 16u * 48);
  EXPECT_EQ(row(k, 0), row(whole, 8));
  EXPECT_EQ(row(k, 9), row(whole, 48 + 9));
  EXPECT_EQ(row(z, 15), row(whole, 47));
  EXPECT_EQ(row(z, 16), row(whole, 48 + 32));
}

/// The tensors of a model under the names of the image model that it is part of.
class ImageModel : public WeightSource {
 public:
  explicit ImageModel(std::shared_ptr<const WeightSource> text) : text_(std::move(text)) {
    for (WeightInfo info : text_->list()) {
      const std::string own = info.name;
      if (own.starts_with("model.")) info.name = "model.language_model." + own.substr(6);
      names_[info.name] = own;
      list_.push_back(std::move(info));
    }
    list_.push_back({"model.visual.patch_embed.proj.weight", {4, 3}, "F32", 48});
    list_.push_back({"mtp.fc.weight", {4, 8}, "F32", 128});
  }
  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override { return names_.contains(std::string(name)); }
  Weight load(std::string_view name) const override {
    return text_->load(names_.at(std::string(name)));
  }

 private:
  std::shared_ptr<const WeightSource> text_;
  std::map<std::string, std::string> names_;
  std::vector<WeightInfo> list_;
};

TEST(Hybrid, TakesTheTextPartOfAnImageModel) {
  ModelDirectory directory = ModelDirectory::open(kGolden / "qwen3_5_text");
  const ordered_json text = directory.config;
  directory.config = {{"architectures", {"Qwen3_5ForConditionalGeneration"}},
                      {"model_type", "qwen3_5"},
                      {"tie_word_embeddings", true},
                      {"vision_config", {{"depth", 2}}},
                      {"text_config", text}};
  directory.weights = std::make_shared<ImageModel>(directory.weights);
  const Model model = open_model(directory);
  EXPECT_EQ(model.spec.architecture, "Qwen3_5ForCausalLM");
  EXPECT_TRUE(model.spec.tied);
  EXPECT_FALSE(model.config.contains("vision_config"));
  std::string notes;
  for (const std::string& note : model.notes) notes += note + "\n";
  expect_parts(notes, {"model.visual.patch_embed.proj.weight", "mtp.fc.weight"});
  const Model plain = open_model(kGolden / "qwen3_5_text");
  for (const TensorSpec& tensor : tensors(plain.spec))
    EXPECT_EQ(model.weights->floats(tensor.name), plain.weights->floats(tensor.name))
        << tensor.name;
}

TEST(ShrunkenConfig, KeepsEveryKindOfLayer) {
  auto config = golden_config("qwen3_next");
  config["num_hidden_layers"] = 48;
  config.erase("layer_types");
  config["hidden_size"] = 2048;
  config["num_attention_heads"] = 16;
  config["num_key_value_heads"] = 2;
  config["head_dim"] = 256;
  config["num_experts"] = 512;
  config["num_experts_per_tok"] = 10;
  const ModelSpec spec = read_model_spec(shrunken_config(config, "c"), "c");
  EXPECT_EQ(spec.blocks.size(), 4u);
  EXPECT_EQ(spec.hidden, 128);
  EXPECT_EQ(spec.blocks[3].attention.heads, 4);
  EXPECT_EQ(spec.blocks[3].attention.kv_heads, 2);
  EXPECT_EQ(spec.blocks[0].moe->experts.size(), 4u);
  EXPECT_FALSE(spec.blocks[1].moe);
  EXPECT_LT(spec.parameters(), 2'000'000);
}

TEST(ShrunkenConfig, IsReadableForEveryGoldenModel) {
  for (const auto& entry : fs::directory_iterator(kGolden)) {
    if (!fs::exists(entry.path() / "config.json")) continue;
    const auto config = golden_config(entry.path().filename());
    const ModelSpec before = read_model_spec(config, "before");
    const ModelSpec after = read_model_spec(shrunken_config(config, "c"), "after");
    EXPECT_EQ(after.family, before.family);
    EXPECT_EQ(after.blocks.front().residual, before.blocks.front().residual);
    EXPECT_LE(after.blocks.size(), before.blocks.size());
  }
}

}  // namespace
}  // namespace attar
