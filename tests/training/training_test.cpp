// The training loop: reference trajectories, accumulation, resume, determinism, read-back.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "compress/architecture/model.h"
#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/formats/safetensors.h"
#include "compress/training/adamw.h"
#include "compress/training/emit.h"
#include "compress/training/head_loss.h"
#include "compress/training/language.h"
#include "compress/training/loop.h"
#include "compress/training/schedule.h"

namespace attar {
namespace {

const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden";

std::unique_ptr<TrainableModel> load(const std::string& name, Weights weights,
                                     Precision precision = Precision::fp32) {
  const Model opened = open_model(kGolden / name);
  auto model = std::make_unique<TrainableModel>(opened.spec, precision, weights);
  model->load(*opened.weights);
  return model;
}

/// The fixture's two rows of 24 ids: 23 predictions each.
TokenWindows fixture_windows() {
  const auto golden = Safetensors::open(kGolden / "llama_gqa/golden.safetensors");
  TokenWindows windows;
  windows.window = 24;
  for (const int64_t id : golden.at("input_ids").integers())
    windows.ids.push_back(static_cast<int32_t>(id));
  return windows;
}

/// 12 windows of 17 ids.
TokenWindows random_windows() {
  TokenWindows windows;
  windows.window = 17;
  for (int32_t i = 0; i < 12 * 17; ++i) windows.ids.push_back((i * i * 7 + i) % 200);
  return windows;
}

TrainingOptions reference_options() {
  TrainingOptions options;
  options.steps = 10;
  options.batch = 2;
  options.learning_rate = 1e-3;
  options.schedule = "constant";
  options.warmup = 0;
  options.dtype = "fp32";
  return options;
}

TrainingResult train_on(TrainableModel& model, const TokenWindows& windows, const RowLoss& loss,
                        const TrainingOptions& options, uint64_t seed = 0,
                        const fs::path& scratch = {}) {
  LanguageObjective objective(model, windows, nullptr, loss, nullptr);
  return train({.model = model,
                .objective = objective,
                .options = options,
                .seed = seed,
                .scratch = scratch});
}

nlohmann::ordered_json reference(const char* name) {
  return nlohmann::ordered_json::parse(
      read_text(kGolden / "methods/train/golden.json"))[name]["losses"];
}

void expect_trajectory(const TrainingResult& result, double after,
                       const nlohmann::ordered_json& expected) {
  const auto& curve = result.curves["loss"];
  ASSERT_EQ(curve.size() + 1, expected.size());
  for (size_t i = 0; i < curve.size(); ++i)
    EXPECT_NEAR(curve[i][1].get<double>(), expected[i].get<double>(), i < 3 ? 1e-4 : 1e-2) << i;
  EXPECT_NEAR(after, expected.back().get<double>(), 1e-2);
}

TEST(Trajectory, FullAdamWFollowsReference) {
  const auto model = load("llama_gqa", Weights::trained);
  const TokenWindows windows = fixture_windows();
  const CrossEntropy loss;
  const TrainingOptions options = reference_options();
  const TrainingResult result = train_on(*model, windows, loss, options);
  expect_trajectory(result, held_out_loss(*model, windows, 2), reference("full_adamw"));
}

TEST(Trajectory, LoraAdamWFollowsReference) {
  const auto model = load("llama_gqa", Weights::frozen);
  std::vector<AdapterPlan> plans;
  for (const BlockSpec& block : model->spec().blocks)
    for (const LinearSpec* linear : {&block.attention.q, &block.attention.v})
      plans.push_back({linear->module(), 4, 2.0f});
  model->attach(plans, 0, 1);
  const auto initial = Safetensors::open(kGolden / "methods/train/lora_init.safetensors");
  const auto final = Safetensors::open(kGolden / "methods/train/lora_final.safetensors");
  ParameterStore& adapters = model->adapters();
  const auto reference_of = [&](const Safetensors& file, const ParameterStore::Entry& entry) {
    return at::tensor(file.at("base_model.model." + entry.name).floats(), at::kFloat)
        .view(entry.shape);
  };
  for (size_t i = 0; i < adapters.entries().size(); ++i)
    adapters.value(static_cast<int64_t>(i)).copy_(reference_of(initial, adapters.entries()[i]));
  model->refresh();
  const TokenWindows windows = fixture_windows();
  const CrossEntropy loss;
  TrainingOptions options = reference_options();
  options.learning_rate = 1e-2;
  const TrainingResult result = train_on(*model, windows, loss, options);
  expect_trajectory(result, held_out_loss(*model, windows, 2), reference("lora_adamw"));
  for (size_t i = 0; i < adapters.entries().size(); ++i) {
    const at::Tensor difference =
        adapters.value(static_cast<int64_t>(i)) - reference_of(final, adapters.entries()[i]);
    EXPECT_LT(difference.abs().max().item<float>(), 1e-2f) << adapters.entries()[i].name;
  }
}

TEST(Loop, AccumulationEqualsALargerBatch) {
  const TokenWindows windows = random_windows();
  const CrossEntropy loss;
  TrainingOptions options = reference_options();
  options.steps = 6;
  options.batch = 4;
  const auto whole = load("llama_tied", Weights::trained);
  const auto first = train_on(*whole, windows, loss, options);
  options.batch = 2;
  options.accumulate = 2;
  const auto parts = load("llama_tied", Weights::trained);
  const auto second = train_on(*parts, windows, loss, options);
  for (size_t i = 0; i < 6; ++i)
    EXPECT_NEAR(first.curves["loss"][i][1].get<double>(), second.curves["loss"][i][1].get<double>(),
                2e-4);
}

TEST(Loop, SameSeedSameBytesOtherSeedOtherBytes) {
  const TokenWindows windows = random_windows();
  const CrossEntropy loss;
  TrainingOptions options = reference_options();
  options.dtype = "bf16";
  const auto trained = [&](uint64_t seed) {
    auto model = load("llama_gqa", Weights::trained, Precision::bf16);
    train_on(*model, windows, loss, options, seed);
    return model->parameters().flat();
  };
  EXPECT_TRUE(at::equal(trained(3), trained(3)));
  EXPECT_FALSE(at::equal(trained(3), trained(4)));
}

/// Cross-entropy that dies at the n-th call, as a killed process would.
class Dying : public CrossEntropy {
 public:
  explicit Dying(int64_t calls) : left_(calls) {}
  void row(const LossInput& input, float scale, float* grad, double* values) const override {
    if (--left_ < 0) throw std::runtime_error("killed");
    CrossEntropy::row(input, scale, grad, values);
  }

 private:
  mutable std::atomic<int64_t> left_;
};

TEST(Loop, ResumedEqualsUninterruptedToTheByte) {
  const fs::path scratch = fs::path(testing::TempDir()) / "attar_resume_test";
  const TokenWindows windows = random_windows();
  TrainingOptions options = reference_options();
  options.steps = 12;
  options.schedule = "cosine";
  options.warmup = 3;
  const CrossEntropy loss;
  for (const bool lora : {false, true}) {
    fs::remove_all(scratch);
    fs::create_directories(scratch);
    options.checkpoint_every = 2;
    const auto fresh = [&] {
      auto model = load("llama_gqa", lora ? Weights::frozen : Weights::trained, Precision::bf16);
      if (lora) model->attach({{model->spec().blocks[0].attention.q.module(), 4, 2.0f}}, 0.2, 5);
      return model;
    };
    const auto whole = fresh();
    const auto expected = train_on(*whole, windows, loss, options, 9);
    const auto killed = fresh();
    const Dying dying(7 * 2 * 16 + 5);  // in the middle of the eighth step
    EXPECT_THROW(train_on(*killed, windows, dying, options, 9, scratch), std::exception);
    const auto resumed = fresh();
    const auto result = train_on(*resumed, windows, loss, options, 9, scratch);
    EXPECT_EQ(result.resumed_from, 6);
    EXPECT_TRUE(at::equal(whole->trained().flat(), resumed->trained().flat()));
    EXPECT_EQ(expected.curves, result.curves);
    EXPECT_EQ(expected.last_loss, result.last_loss);
  }
  fs::remove_all(scratch);
}

TEST(Loop, NonFiniteLossNamesTheStep) {
  const auto model = load("llama_gqa", Weights::trained);
  model->parameters().value(0).fill_(std::numeric_limits<float>::infinity());
  model->refresh();
  const TokenWindows windows = random_windows();
  const CrossEntropy loss;
  const TrainingOptions options = reference_options();
  try {
    train_on(*model, windows, loss, options);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::failed);
    EXPECT_NE(std::string(e.what()).find("step 1 of 10"), std::string::npos) << e.what();
  }
}

TEST(Loop, StepsFollowFromEpochs) {
  TrainingOptions options;
  options.batch = 4;
  options.accumulate = 2;
  EXPECT_EQ(training_steps(options, 80), 10);
  options.epochs = 2.5;
  EXPECT_EQ(training_steps(options, 80), 25);
  options.steps = 3;
  EXPECT_EQ(training_steps(options, 80), 3);
}

TEST(HeadLoss, ChunksAddUpAndGradientIsThatOfTheMean) {
  // 16,000 rows of 256 logits are three chunks.
  const auto model = load("llama_tied", Weights::trained);
  const at::Tensor hidden = at::randn({40000, 64}, at::kFloat);
  const at::Tensor labels = at::randint(0, 256, {40000}, at::kLong);
  const CrossEntropy loss;
  const HeadLoss got = head_loss(*model, hidden, {}, labels, loss, 1.0 / 40000, true);
  const at::Tensor x = hidden.clone().requires_grad_(true);
  const at::Tensor weight = model->parameters().value(0).clone().requires_grad_(true);
  const at::Tensor expected = at::cross_entropy_loss(at::mm(x, weight.t()), labels);
  expected.backward();
  EXPECT_NEAR(got.parts[0] / 40000, expected.item<double>(), 1e-5);
  EXPECT_LT((got.gradient - x.grad()).abs().max().item<float>(), 1e-8f);
  EXPECT_LT((model->parameters().gradient(0) - weight.grad()).abs().max().item<float>(), 1e-6f);
}

TEST(Schedule, WarmsUpAndFalls) {
  const Schedule cosine{"cosine", 1.0, 0.1, 4, 21};
  EXPECT_NEAR(cosine.at(0), 0.2, 1e-12);
  EXPECT_NEAR(cosine.at(3), 0.8, 1e-12);
  EXPECT_NEAR(cosine.at(4), 1.0, 1e-12);
  EXPECT_NEAR(cosine.at(12), 0.55, 1e-12);
  EXPECT_NEAR(cosine.at(20), 0.1, 1e-12);
  const Schedule linear{"linear", 2.0, 0.0, 0, 11};
  EXPECT_NEAR(linear.at(5), 1.0, 1e-12);
  EXPECT_NEAR(linear.at(10), 0.0, 1e-12);
  const Schedule constant{"constant", 2.0, 0.0, 0, 11};
  EXPECT_EQ(constant.at(10), 2.0);
}

TEST(Emit, WhatIsWrittenIsWhatWasTrained) {
  const fs::path directory = fs::path(testing::TempDir()) / "attar_emit_test";
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    fs::remove_all(directory);
    const auto model = load("qwen3", Weights::trained);
    const auto config = ModelDirectory::open(kGolden / "qwen3").config;
    const TokenWindows windows = fixture_windows();
    const CrossEntropy loss;
    const auto ids = LanguageObjective(*model, windows, nullptr, loss, nullptr).probe();
    const ReadBack check = emit(*model, config, dtype, directory / "model", kGolden / "qwen3", ids);
    EXPECT_TRUE(check.passed) << check.detail;
    const ModelDirectory written = ModelDirectory::open(directory / "model");
    EXPECT_EQ(written.config["dtype"], torch_dtype_name(dtype));
    EXPECT_EQ(written.weights->list().front().format, dtype_name(dtype));
    EXPECT_TRUE(fs::exists(directory / "model/generation_config.json"));
  }
  fs::remove_all(directory);
}

TEST(AdamW, LeavesEverythingAloneWhenTheGradientIsNotFinite) {
  ParameterStore store;
  store.add("w", {3});
  store.allocate(true);
  store.flat().fill_(1);
  store.flat_gradients().fill_(std::numeric_limits<float>::quiet_NaN());
  AdamW optimizer(store, {});
  EXPECT_FALSE(std::isfinite(optimizer.step(0.1)));
  EXPECT_TRUE(at::equal(store.flat(), at::ones({3})));
}

}  // namespace
}  // namespace attar
