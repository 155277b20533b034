#include "compress/formats/peft.h"

#include <cmath>
#include <limits>

#include "compress/base/threads.h"
#include "compress/formats/safetensors.h"
#include "tests/formats/scratch.h"

namespace attar {
namespace {

using nlohmann::ordered_json;
using testing::expect_bad_input;
using testing::kGolden;

class PeftTest : public testing::ScratchTest {
 protected:
  static std::shared_ptr<const WeightSource> base() {
    return ModelDirectory::open(kGolden / "llama_gqa").weights;
  }
  /// Rank 1 on model.layers.0.mlp.up_proj of llama_gqa.
  static Adapter small() {
    Adapter adapter;
    adapter.config.rank = 1;
    adapter.config.alpha = 3;
    adapter.config.targets = {"model.layers.0.mlp.up_proj"};
    adapter.modules = {{"model.layers.0.mlp.up_proj", 1, 64, 64, std::vector<float>(64, 2.0f),
                        std::vector<float>(64, 0.5f), 3}};
    return adapter;
  }
};

TEST_F(PeftTest, FoldsInTheGoldenAdapters) {
  const auto golden = read_text(kGolden / "methods/lora/golden.json");
  const auto facts = ordered_json::parse(golden);
  for (const std::string name : {"llama_r8", "llama_rslora_patterns"}) {
    const fs::path directory = kGolden / "methods/lora" / name;
    const Adapter adapter = read_adapter(directory);
    for (const auto& [module, scale] : facts[name]["scaling"].items()) {
      EXPECT_TRUE(adapter.config.targets_module(module)) << module;
      EXPECT_DOUBLE_EQ(adapter.config.scale_of(module), scale.get<double>()) << module;
    }
    EXPECT_EQ(adapter.modules.size(), facts[name]["scaling"].size());
    const auto sample = facts[name]["merged_weight_sample"].get<std::string>();
    const auto expected =
        Safetensors::open(directory / "golden.safetensors").at("merged_weight_sample").floats();
    const auto merged = with_adapter(base(), directory)->floats(sample);
    ASSERT_EQ(merged.size(), expected.size());
    for (size_t i = 0; i < merged.size(); ++i) EXPECT_NEAR(merged[i], expected[i], 1e-5f);
  }
}

TEST_F(PeftTest, LeavesOtherWeightsAlone) {
  const auto source = base();
  const auto adapted = with_adapter(source, small(), "adapter");
  EXPECT_EQ(adapted->floats("model.norm.weight"), source->floats("model.norm.weight"));
  EXPECT_EQ(adapted->list().size(), source->list().size());
  const auto before = source->floats("model.layers.0.mlp.up_proj.weight");
  const auto after = adapted->floats("model.layers.0.mlp.up_proj.weight");
  for (size_t i = 0; i < before.size(); ++i) EXPECT_EQ(after[i], before[i] + 3.0f);
}

TEST_F(PeftTest, IsTheSameForAnyThreadCount) {
  const auto adapted = with_adapter(base(), kGolden / "methods/lora/llama_r8");
  const int threads = thread_count();
  set_thread_count(1);
  const auto one = adapted->floats("model.layers.1.mlp.down_proj.weight");
  set_thread_count(3);
  EXPECT_EQ(adapted->floats("model.layers.1.mlp.down_proj.weight"), one);
  set_thread_count(threads);
}

TEST_F(PeftTest, WritesWhatItReads) {
  for (const std::string name : {"llama_r8", "llama_rslora_patterns"}) {
    const Adapter adapter = read_adapter(kGolden / "methods/lora" / name);
    write_adapter(directory_, adapter);
    const Adapter back = read_adapter(directory_);
    const auto before = with_adapter(base(), adapter, "");
    const auto after = with_adapter(base(), back, "");
    for (const WeightInfo& info : before->list())
      EXPECT_EQ(after->floats(info.name), before->floats(info.name));
  }
  const auto config = ordered_json::parse(read_text(directory_ / "adapter_config.json"));
  EXPECT_EQ(config["rank_pattern"]["down_proj"], 2);
  EXPECT_EQ(config["lora_alpha"].dump(), "8");
  EXPECT_EQ(config["use_rslora"], true);
}

TEST_F(PeftTest, ChoosesModulesAsPeftDoes) {
  LoraConfig config;
  config.targets = {"q_proj", "model.layers.0.mlp.up_proj"};
  EXPECT_TRUE(config.targets_module("model.layers.3.self_attn.q_proj"));
  EXPECT_TRUE(config.targets_module("model.layers.0.mlp.up_proj"));
  EXPECT_FALSE(config.targets_module("model.layers.1.mlp.up_proj"));
  EXPECT_FALSE(config.targets_module("model.layers.3.self_attn.xq_proj"));
  config.layers = {3};
  EXPECT_TRUE(config.targets_module("model.layers.3.self_attn.q_proj"));
  EXPECT_FALSE(config.targets_module("model.layers.13.self_attn.q_proj"));
  EXPECT_FALSE(config.targets_module("q_proj"));
  config.layers.clear();
  config.targets.clear();
  config.target_expression = R"(.*\.(q|k)_proj)";
  EXPECT_TRUE(config.targets_module("model.layers.3.self_attn.k_proj"));
  EXPECT_FALSE(config.targets_module("model.layers.3.self_attn.k_projx"));
  config.ranks = {{R"(layers\.\d\.self_attn\.q_proj)", 4}, {"k_proj", 2}};
  EXPECT_EQ(config.rank_of("model.layers.3.self_attn.q_proj"), 4);
  EXPECT_EQ(config.rank_of("model.layers.3.self_attn.k_proj"), 2);
  EXPECT_EQ(config.rank_of("model.layers.3.self_attn.v_proj"), 8);
}

TEST_F(PeftTest, RefusesConfigurationsItCannotFollow) {
  const auto refused = [](const ordered_json& changes, std::initializer_list<const char*> parts) {
    ordered_json json = {{"peft_type", "LORA"}, {"r", 4}, {"target_modules", {"q_proj"}}};
    json.update(changes);
    SCOPED_TRACE(json.dump());
    expect_bad_input([&] { read_lora_config(json, "adapter_config.json"); }, parts);
  };
  EXPECT_NO_THROW(read_lora_config({{"peft_type", "LORA"}, {"target_modules", "all-linear"}}, ""));
  refused({{"peft_type", "IA3"}}, {"unsupported adapter type \"IA3\""});
  refused({{"use_dora", true}}, {"use_dora = true is not supported"});
  refused({{"bias", "all"}}, {"bias"});
  refused({{"modules_to_save", "classifier"}}, {"modules_to_save", "list of names"});
  refused({{"init_lora_weights", "pissa"}}, {"changed base"});
  refused({{"r", 0}}, {"0 is no rank"});
  refused({{"lora_alpha", "16"}}, {"no number"});
  refused({{"use_rslora", 1}}, {"expected true or false"});
  refused({{"target_modules", nullptr}}, {"target_modules is missing"});
  refused({{"target_modules", {1}}}, {"list of names"});
  refused({{"rank_pattern", {{"q_proj", -1}}}}, {"rank_pattern.q_proj"});
  refused({{"layers_to_transform", "1"}}, {"layers_to_transform"});
  refused({{"layers_to_transform", 1}, {"layers_pattern", "h"}}, {"layers_pattern"});
  expect_bad_input([] { read_lora_config(ordered_json::array(), "x.json"); },
                   {"not a JSON object"});
}

TEST_F(PeftTest, RefusesAdaptersOfAnotherModel) {
  Adapter adapter = small();
  adapter.config.targets = {"model.layers.9.mlp.up_proj"};
  adapter.modules[0].module = "model.layers.9.mlp.up_proj";
  expect_bad_input([&] { with_adapter(base(), adapter, "here"); },
                   {"a layer that the base model does not have", "here: module model.layers.9"});
  adapter = small();
  adapter.modules[0].in = 32;
  expect_bad_input([&] { with_adapter(base(), adapter, ""); },
                   {"for a layer of [64, 32], the base model has [64, 64]"});
  adapter = small();
  adapter.config.targets = {"up_proj"};
  expect_bad_input([&] { with_adapter(base(), adapter, ""); },
                   {"targets model.layers.1.mlp.up_proj.weight, but the adapter has no factors"});
  expect_bad_input([&] { read_adapter(directory_); }, {"no adapter_config.json"});
}

TEST_F(PeftTest, RefusesFactorsThatContradictTheConfiguration) {
  const auto refused = [&](const Adapter& adapter, std::initializer_list<const char*> parts) {
    write_adapter(directory_, adapter);
    expect_bad_input([&] { read_adapter(directory_); }, parts);
  };
  Adapter adapter = small();
  adapter.config.rank = 2;
  refused(adapter, {"do not have rank 2"});
  adapter = small();
  adapter.config.targets = {"q_proj"};
  refused(adapter, {"does not target"});
  adapter = small();
  adapter.modules[0].a[5] = std::numeric_limits<float>::quiet_NaN();
  refused(adapter, {"element 5 of 64 is not a number", "lora_A"});
  adapter = small();
  adapter.modules.clear();
  refused(adapter, {"changes no layer"});
  SafetensorsWriter writer(directory_ / "adapter_model.safetensors",
                           {{"base_model.model.a.lora_B.weight", DType::f32, {1, 1}}});
  writer.write_floats("base_model.model.a.lora_B.weight", std::vector<float>{1});
  writer.finish();
  expect_bad_input([&] { read_adapter(directory_); }, {"lora_B without lora_A"});
  SafetensorsWriter other(directory_ / "adapter_model.safetensors",
                          {{"base_model.model.lora_A.weight", DType::f32, {1, 1}}});
  other.write_floats("base_model.model.lora_A.weight", std::vector<float>{1});
  other.finish();
  expect_bad_input([&] { read_adapter(directory_); }, {"not a factor of a linear layer"});
}

TEST_F(PeftTest, TakesModulesThatWereTrainedWhole) {
  Adapter adapter = read_adapter(kGolden / "methods/lora/llama_r8");
  adapter.config.saved = {"norm"};
  std::vector<float> ones(64, 1.5f);
  adapter.saved = {{"model.norm.weight", {64}, ones}};
  write_adapter(directory_, adapter);
  const Adapter back = read_adapter(directory_);
  EXPECT_EQ(back.config.saved, adapter.config.saved);
  EXPECT_EQ(with_adapter(base(), back, "")->floats("model.norm.weight"), ones);
  adapter.saved[0].shape = {32, 2};
  expect_bad_input([&] { with_adapter(base(), adapter, ""); }, {"[32, 2]", "model.norm.weight"});
  adapter.saved[0].name = "score.weight";
  expect_bad_input([&] { with_adapter(base(), adapter, "here"); }, {"here: tensor score.weight"});
  adapter.config.saved.clear();
  write_adapter(directory_, adapter);
  expect_bad_input([&] { read_adapter(directory_); }, {"modules_to_save"});
}

TEST_F(PeftTest, ReadsARealAdapter) {
  const fs::path sample =
      fs::path(ATTAR_SOURCE_DIR) / "../shared/format-samples/peft_lora_gemma3_270m";
  if (!fs::exists(sample)) GTEST_SKIP() << "no real adapter at " << sample;
  const Adapter adapter = read_adapter(sample);
  EXPECT_EQ(adapter.modules.size(), 72u);  // 18 layers of q, k, v, o
  EXPECT_DOUBLE_EQ(adapter.config.scale_of(adapter.modules[0].module), 4.0);
  const Adapter classifier = read_adapter(sample.parent_path() / "peft_lora_distilbert_imdb");
  EXPECT_EQ(classifier.modules.size(), 12u);  // 6 layers of q, v
  std::vector<std::string> saved;
  for (const SavedTensor& tensor : classifier.saved) saved.push_back(tensor.name);
  EXPECT_EQ(saved, (std::vector<std::string>{"classifier.bias", "classifier.weight",
                                             "pre_classifier.bias", "pre_classifier.weight"}));
}

}  // namespace
}  // namespace attar
