// Every family, on the recorded outputs of small models: the same outputs from both styles of
// config.json, gradients, training, and what was trained written and read back.
#include <gtest/gtest.h>

#include "compress/architecture/model.h"
#include "compress/base/files.h"
#include "compress/formats/safetensors.h"
#include "compress/training/adamw.h"
#include "compress/training/emit.h"
#include "tests/model/losses.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

using testing::beside;
using testing::loss_of;

/// Small ones are part of the project, the others lie beside it.
fs::path fixture(const std::string& name) {
  const fs::path kept = testing::golden(name);
  return fs::exists(kept / "golden.safetensors") ? kept : beside("fixtures/" + name);
}

at::Tensor integers(const TensorView& view) {
  return at::tensor(view.integers(), at::kLong).view(view.shape);
}

ModelInput input_of(const Safetensors& golden) {
  ModelInput input = integers(golden.at("input_ids"));
  if (const auto* mask = golden.find("attention_mask")) input.lengths = integers(*mask).sum(1);
  if (const auto* types = golden.find("token_type_ids")) input.token_types = integers(*types);
  return input;
}

std::unique_ptr<TrainableModel> load(const Model& model, Weights weights = Weights::trained) {
  auto trainable = std::make_unique<TrainableModel>(model.spec, Precision::fp32, weights);
  trainable->load(*model.weights);
  return trainable;
}

class Families : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    directory_ = fixture(GetParam());
    ATTAR_NEEDS(directory_);
    golden_.emplace(Safetensors::open(directory_ / "golden.safetensors"));
  }
  /// Gated DeltaNet's reference is itself that far from float64.
  double tolerance() const {
    const std::string name = GetParam();
    return name == "qwen3_5_text" || name == "qwen3_next" ? 5e-4 : 1e-4;
  }
  fs::path directory_;
  std::optional<Safetensors> golden_;
};

TEST_P(Families, OutputsAreTheRecordedOnes) {
  for (const char* config : {"config.json", "config.legacy.json"}) {
    if (!fs::exists(directory_ / config)) continue;
    ModelDirectory directory = ModelDirectory::open(directory_);
    directory.config = nlohmann::ordered_json::parse(read_text(directory_ / config));
    const auto model = load(open_model(std::move(directory)), Weights::frozen);
    const bool embeds = model->spec().task == Task::embed;
    const TensorView& view = golden_->at(embeds ? "pooled_mean" : "logits");
    const at::Tensor expected = at::tensor(view.floats(), at::kFloat).view(view.shape);
    const at::Tensor got = model->logits(input_of(*golden_));
    ASSERT_EQ(got.sizes(), expected.sizes());
    EXPECT_LT((got - expected).abs().max().item<double>(), tolerance()) << config;
  }
}

TEST_P(Families, HalfPrecisionStaysClose) {
  const Model opened = open_model(directory_);
  const ModelInput input = input_of(*golden_);
  TrainableModel half(opened.spec, Precision::bf16, Weights::frozen);
  half.load(*opened.weights);
  const at::Tensor expected = load(opened, Weights::frozen)->logits(input);
  EXPECT_LT((half.logits(input) - expected).abs().mean().item<float>(), 0.05f);
}

TEST_P(Families, EveryGradientIsThatOfThePlainForm) {
  const auto model = load(open_model(directory_));
  testing::expect_gradients_of_plain_form(*model, input_of(*golden_), GetParam(), tolerance());
}

TEST_P(Families, LearnsAndIsWrittenAsItIs) {
  const Model opened = open_model(directory_);
  const auto model = load(opened);
  const ModelInput input = input_of(*golden_);
  AdamW optimizer(model->parameters(), {.weight_decay = 0});
  const double before = loss_of(*model, input);
  double after = before;
  for (int step = 0; step < 8; ++step) {
    optimizer.step(2e-3);
    model->refresh();
    after = loss_of(*model, input);
  }
  EXPECT_LT(after, 0.97 * before);
  const fs::path written = testing::make_test_directory(std::string("family-") + GetParam());
  const ReadBack check =
      emit(*model, opened.config, DType::f32, written / "model", directory_, input);
  EXPECT_TRUE(check.passed) << check.detail;
  fs::remove_all(written);
}

INSTANTIATE_TEST_SUITE_P(All, Families,
                         ::testing::Values("llama_gqa", "llama_llama3rope", "llama_tied",
                                           "mistral_swa", "qwen2", "qwen3", "qwen3_5_text",
                                           "qwen3_next", "phi3_default", "phi3_longrope", "gemma2",
                                           "gemma3_text", "smollm3_nope", "gpt2", "gpt_neox",
                                           "distilbert_cls", "bert_cls", "bert_embed"));

}  // namespace
}  // namespace attar
