// Target selection, options, and merging without LibTorch against the reference's merged model.
#include <gtest/gtest.h>

#include "compress/architecture/model.h"
#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/formats/peft.h"
#include "compress/formats/safetensors.h"
#include "lora/merge.h"
#include "lora/stage.h"
#include "lora/targets.h"
#include "tests/support/fixtures.h"

namespace attar::lora {
namespace {

const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden";

TEST(Targets, AreSelectedByNameModuleAndPattern) {
  const ModelSpec spec = open_model(kGolden / "llama_gqa").spec;
  EXPECT_EQ(select_targets(spec, {}).size(), 14u);
  EXPECT_EQ(select_targets(spec, {"q_proj", "v_proj"}).size(), 4u);
  EXPECT_EQ(select_targets(spec, {"model.layers.1.*"}).size(), 7u);
  EXPECT_EQ(select_targets(spec, {"*self_attn*", "q_proj"}).size(), 8u);
  EXPECT_EQ(select_targets(spec, {"model.layers.0.mlp.up_proj"}).size(), 1u);
  EXPECT_EQ(adapter_parameters(select_targets(spec, {"model.layers.0.self_attn.k_proj"}), 4),
            4 * (64 + 32));
}

TEST(Targets, MayNameThePublishedModelsFusedLayers) {
  for (const auto& [model, pattern, layers] :
       {std::tuple("phi3_default", "qkv_proj", 3u), std::tuple("phi3_default", "k_proj", 1u),
        std::tuple("gpt2", "c_attn", 3u), std::tuple("gpt2", "c_proj", 2u),
        std::tuple("gpt_neox", "*.query_key_value", 3u)}) {
    if (!has_fixture(model)) GTEST_SKIP() << "no reference model " << model;
    const ModelSpec spec = open_model(fixture(model)).spec;
    EXPECT_EQ(select_targets(spec, {pattern}).size(), layers * spec.blocks.size()) << pattern;
  }
}

TEST(Targets, ThatMatchNothingAreRefusedWithAHint) {
  const ModelSpec spec = open_model(kGolden / "llama_gqa").spec;
  try {
    select_targets(spec, {"q_proj", "v_porj"});
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("v_porj"), std::string::npos);
    EXPECT_NE(e.hint().find("v_proj"), std::string::npos);
  }
}

TEST(Merge, GivesTheReferencesWeights) {
  for (const char* name : {"llama_r8", "llama_rslora_patterns"}) {
    const fs::path out = fs::path(testing::TempDir()) / "attar_merge_test";
    fs::remove_all(out);
    fs::create_directories(out);
    const Model base = open_model(kGolden / "llama_gqa");
    const Check check =
        write_merged(base, kGolden / "methods/lora" / name, DType::f32, out / "model");
    EXPECT_TRUE(check.passed) << check.detail;
    const auto golden = Safetensors::open(kGolden / "methods/lora" / name / "golden.safetensors");
    const auto sample = golden.at("merged_weight_sample").floats();
    const auto json =
        nlohmann::ordered_json::parse(read_text(kGolden / "methods/lora/golden.json"));
    const std::string tensor = json[name]["merged_weight_sample"].get<std::string>();
    const auto merged = ModelDirectory::open(out / "model").weights->floats(tensor);
    ASSERT_EQ(merged.size(), sample.size());
    for (size_t i = 0; i < sample.size(); ++i) ASSERT_NEAR(merged[i], sample[i], 1e-5) << i;
    fs::remove_all(out);
  }
}

TEST(Merge, WritesFusedLayersStoredInputsFirst) {
  const fs::path methods = fs::path(ATTAR_SOURCE_DIR) / "../shared/fixtures/methods/lora";
  if (!has_fixture("gpt2") || !fs::exists(methods / "gpt2_conv1d"))
    GTEST_SKIP() << "no reference adapter at " << methods;
  const fs::path out = fs::path(::testing::TempDir()) / "attar_merge_gpt2_test";
  fs::remove_all(out);
  fs::create_directories(out);
  const Check check =
      write_merged(open_model(fixture("gpt2")), methods / "gpt2_conv1d", DType::f32, out / "model");
  EXPECT_TRUE(check.passed) << check.detail;
  const auto sample = Safetensors::open(methods / "gpt2_conv1d/golden.safetensors")
                          .at("merged_weight_sample")
                          .floats();
  const auto json = nlohmann::ordered_json::parse(read_text(methods / "golden.json"));
  const std::string tensor = json["gpt2_conv1d"]["merged_weight_sample"].get<std::string>();
  const auto merged = ModelDirectory::open(out / "model").weights->floats(tensor);
  ASSERT_EQ(merged.size(), sample.size());
  for (size_t i = 0; i < sample.size(); ++i) ASSERT_NEAR(merged[i], sample[i], 1e-5) << i;
  fs::remove_all(out);
}

TEST(Options, MistakesAreReported) {
  Problems problems;
  const Node node = Node::parse(
      "{data: train, rank: 0, base: int4, merge: maybe, targts: [q_proj]}", "r", problems);
  lora_stage().resolve(node, problems);
  EXPECT_EQ(problems.list().size(), 4u);
}

}  // namespace
}  // namespace attar::lora
