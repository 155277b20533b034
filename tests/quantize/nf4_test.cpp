// The scheme NF4 as a stage: written in bitsandbytes' layout, read back, refused where it cannot
// be.
#include <gtest/gtest.h>

#include <cmath>

#include "compress/architecture/model.h"
#include "compress/architecture/storage.h"
#include "compress/base/error.h"
#include "compress/runtime/model.h"
#include "quantize/rtn.h"
#include "quantize/stage.h"
#include "tests/quantize/run_stage.h"

namespace attar {
namespace {

constexpr QuantLayout kLayout{4, 64, true, DType::f32, false, Levels::nf4};

class Nf4Stage : public testing::Test {
 protected:
  const TemporaryDirectory home_;
  const fs::path ids_ = write_ids(home_.path(), 6, 48, 128);
  const fs::path model_ = golden_model("llama_gqa");

  static StageRun run(const std::string& options, const fs::path& model,
                      const fs::path& data = {}) {
    return run_stage(quantize_stage(), model, data, "method: rtn, scheme: NF4" + options);
  }
  std::string error(const std::string& options) const {
    try {
      run_stage(quantize_stage(), model_, ids_, "scheme: NF4, " + options);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::bad_input) << e.block();
      return e.block();
    }
    return "";
  }
  Recipe recipe(const fs::path& model, const std::string& options) const {
    Problems problems;
    Recipe recipe = parse_recipe("attar: 1\nname: t\noutput: o\nmodel: " + model.string() +
                                     "\nstages:\n  - {name: it, type: quantize, " + options + "}\n",
                                 "r.yaml", home_.path(), {}, std::nullopt, problems);
    problems.throw_if_any();
    return recipe;
  }
};

TEST_F(Nf4Stage, WritesTheLayoutOfBitsandbytesAndReadsItBack) {
  const StageRun result = run("", model_);
  EXPECT_TRUE(all_passed(result.report));
  EXPECT_TRUE(result.report.fallbacks.empty());
  EXPECT_EQ(result.report.facts["format"], "bitsandbytes");
  EXPECT_NE(result.report.facts["notes"].dump().find("layout of bitsandbytes"), std::string::npos);
  EXPECT_EQ(result.report.facts["scale_dtype"], "float32");
  EXPECT_EQ(result.report.facts["bits_per_quantized_weight"], 4.5);
  ASSERT_EQ(result.report.layers.size(), 14u);
  for (const auto& row : result.report.layers) {
    EXPECT_EQ(row.at("layout"), "nf4 g64");
    EXPECT_LT(row.at("relative_weight_error").get<double>(), 0.02) << row.dump();
  }
  const Model before = open_model(model_), written = open_model(result.model);
  const auto& config = written.config.at("quantization_config");
  EXPECT_EQ(config.at("quant_method"), "bitsandbytes");
  EXPECT_EQ(config.at("bnb_4bit_quant_type"), "nf4");
  EXPECT_EQ(config.at("llm_int8_skip_modules").dump(), R"(["lm_head"])");
  for (const TensorSpec& tensor : tensors(before.spec)) {
    const auto floats = before.weights->floats(tensor.name);
    const Weight weight = written.weights->load(tensor.name);
    if (tensor.role != TensorRole::linear) {
      EXPECT_EQ(std::get<DenseTensor>(weight).floats(), floats) << tensor.name;
      continue;
    }
    const auto& q = std::get<QuantizedMatrix>(weight);
    EXPECT_EQ(q.layout, kLayout);
    EXPECT_EQ(dequantize(q), dequantize(rtn(floats, q.rows, q.cols, kLayout)));
  }
}

TEST_F(Nf4Stage, FusedAndTransposedLayersReadBack) {
  for (const std::string name : {"phi3_longrope", "gpt2", "gpt_neox", "mistral_swa", "qwen3"}) {
    if (!has_fixture(name)) GTEST_SKIP() << "no reference model " << name;
    // 80 inputs of one layer are no whole blocks.
    const StageRun result = run(
        name == "gpt_neox" ? ", ignore: [dense_4h_to_h]" : ", group_size: 32", golden_model(name));
    EXPECT_TRUE(all_passed(result.report)) << name << result.report.checks.back().detail;
  }
}

TEST_F(Nf4Stage, ALayerWithoutWholeBlocksIsNamed) {
  if (!has_fixture("qwen2")) GTEST_SKIP() << "no reference model qwen2";
  try {
    run("", golden_model("qwen2"));
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::bad_input);
    for (const char* part : {"bitsandbytes cannot hold", "down_proj", "groups of 48", "ignore"})
      EXPECT_NE(e.block().find(part), std::string::npos) << e.block();
  }
  EXPECT_TRUE(all_passed(run(", ignore: [down_proj]", golden_model("qwen2")).report));
}

TEST_F(Nf4Stage, WhatMakesNoSenseIsRefused) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"method: gptq, data: calibration", "method: rtn"},
      {"data: calibration", "method gptq is not for scheme NF4"},
      {"method: awq, data: calibration", "method awq is not for scheme NF4"},
      {"method: rtn, format: compressed-tensors", "cannot hold scheme NF4"},
      {"method: rtn, format: gptq", "cannot hold scheme NF4"},
      {"method: rtn, format: gguf", "cannot hold scheme NF4"},
      {"method: rtn, scale_dtype: float16", "scales as float32"},
      {"method: rtn, scale_search: mse", "no choice of scale_search"},
      {"method: rtn, preset: best", "no choice of preset"},
      {"method: rtn, signed_scales: true", "no choice of signed_scales"},
      {"method: rtn, fold: awq, data: calibration", "no choice of fold"},
      {"method: rtn, embedding: int8", "no choice of embedding"},
      {"method: rtn, budget: {bits_per_weight: 5}, data: calibration", "no choice of budget"},
      {"method: rtn, overrides: [{targets: [v_proj], bits: 8}]", "no choice of bits"},
      {"method: rtn, group_size: 16", "bitsandbytes cannot hold"}};
  for (const auto& [options, part] : cases)
    EXPECT_NE(error(options).find(part), std::string::npos) << options << "\n" << error(options);
  try {
    run_stage(quantize_stage(), model_, {}, "method: rtn, format: bitsandbytes");
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(e.block().find("format bitsandbytes cannot hold scheme W4A16"), std::string::npos);
    EXPECT_NE(e.block().find("scheme: NF4"), std::string::npos);
  }
}

TEST_F(Nf4Stage, OverridesMayGiveOtherBlocks) {
  const StageRun result = run(", overrides: [{targets: [v_proj], group_size: 32}]", model_);
  EXPECT_TRUE(all_passed(result.report));
  const auto written = open_model(result.model).weights;
  const auto group = [&](const char* name) {
    const Weight weight = written->load(name);
    return std::get<QuantizedMatrix>(weight).layout.group;
  };
  EXPECT_EQ(group("model.layers.1.self_attn.v_proj.weight"), 32);
  EXPECT_EQ(group("model.layers.1.self_attn.k_proj.weight"), 64);
}

TEST_F(Nf4Stage, AnNf4ModelIsRefusedAsInput) {
  const StageRun first = run("", model_);
  for (const std::string options : {"method: rtn, scheme: NF4", "method: rtn, group_size: 16"})
    try {
      run_stage(quantize_stage(), first.model, {}, options);
      FAIL();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::bad_input);
      EXPECT_NE(e.block().find("quantized already"), std::string::npos) << e.block();
    }
}

TEST_F(Nf4Stage, EstimateMatchesWhatIsWritten) {
  const Recipe planned = recipe(model_, "method: rtn, scheme: NF4");
  const ModelDirectory source = ModelDirectory::open(model_),
                       written = ModelDirectory::open(run("", model_).model);
  const StageEstimate estimate = quantize_stage().estimate(
      planned.stages.at(0), planned, {source.config, 82240, source.weight_bytes});
  uint64_t bytes = 0;
  for (const WeightInfo& info : written.weights->list()) bytes += info.bytes;
  EXPECT_EQ(estimate.bytes, bytes);
  const Recipe small = recipe(model_, "method: rtn, scheme: NF4, group_size: 16");
  EXPECT_THROW(quantize_stage().estimate(small.stages.at(0), small,
                                         {source.config, 82240, source.weight_bytes}),
               Error);
}

TEST_F(Nf4Stage, RunsOnItsCodes) {
  const StageRun result = run(", data: calibration", model_, ids_);
  EXPECT_TRUE(all_passed(result.report)) << result.report.checks.back().detail;
  const Model codes = open_model(result.model);
  nlohmann::ordered_json config = codes.config;
  config.erase("quantization_config");
  std::vector<TensorPlan> plans;
  for (const TensorSpec& tensor : tensors(codes.spec))
    plans.push_back({tensor.name, tensor.shape, DType::f32, {}});
  const fs::path directory = home_.path() / "floats";
  fs::create_directories(directory);
  StoredWriter writer(codes.spec, directory, config, plans, {});
  for (const TensorPlan& plan : plans) writer.write(plan.name, codes.weights->floats(plan.name));
  writer.finish();
  const auto logits = [](const Model& model) {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 40; ++i) ids.push_back(i * 37 % 128);
    std::vector<float> values(ids.size() * static_cast<size_t>(model.spec.vocab));
    Session(RuntimeModel::load(model)).advance_all(ids, values.data());
    return values;
  };
  const auto one = logits(codes), two = logits(open_model(directory));
  for (size_t i = 0; i < one.size(); ++i) ASSERT_NEAR(one[i], two[i], 1e-4) << i;
}

}  // namespace
}  // namespace attar
