// The trainable model against recorded gradients; adapters, rounded bases, beginnings.
#include "compress/model/trainable_model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compress/architecture/model.h"
#include "compress/base/files.h"
#include "compress/formats/safetensors.h"

namespace attar {
namespace {

const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden";

at::Tensor integers(const TensorView& view) {
  return at::tensor(view.integers(), at::kLong).view(view.shape);
}
at::Tensor floats(const TensorView& view) {
  return at::tensor(view.floats(), at::kFloat).view(view.shape);
}

ModelSpec spec_of(const fs::path& config) {
  return read_model_spec(nlohmann::ordered_json::parse(read_text(config)), config.string());
}

std::unique_ptr<TrainableModel> load(const fs::path& directory, const std::string& config,
                                     Precision precision, Weights weights) {
  ModelDirectory files = ModelDirectory::open(directory);
  files.config = nlohmann::ordered_json::parse(read_text(directory / config));
  const Model opened = open_model(std::move(files));
  auto model = std::make_unique<TrainableModel>(opened.spec, precision, weights);
  model->load(*opened.weights);
  return model;
}

/// Mean cross-entropy of predicting ids[:, 1:], with its gradient, by LibTorch's own operations.
double cross_entropy(TrainableModel& model, const at::Tensor& ids) {
  const int64_t sequences = ids.size(0), positions = ids.size(1);
  const at::Tensor hidden = model.hidden(ids);
  const at::Tensor logits = model.head().forward(hidden).view({sequences, positions, -1});
  const at::Tensor loss = at::cross_entropy_loss(
      logits.narrow(1, 0, positions - 1).reshape({-1, model.spec().vocab}).to(at::kFloat),
      ids.narrow(1, 1, positions - 1).reshape({-1}));
  loss.backward();
  return loss.item<double>();
}

TEST(Gradients, AgreeWithReference) {
  const auto expected = Safetensors::open(kGolden / "methods/train/llama_gqa_ce_grads.safetensors");
  const auto golden = Safetensors::open(kGolden / "llama_gqa/golden.safetensors");
  const auto model = load(kGolden / "llama_gqa", "config.json", Precision::fp32, Weights::trained);
  EXPECT_NEAR(cross_entropy(*model, integers(golden.at("input_ids"))), 6.262709, 1e-5);
  ParameterStore& store = model->parameters();
  EXPECT_NEAR(store.flat_gradients().norm().item<double>(), 10.812912, 1e-4);
  size_t compared = 0;
  for (size_t i = 0; i < store.entries().size(); ++i) {
    const auto* view = expected.find(store.entries()[i].name);
    ASSERT_NE(view, nullptr) << store.entries()[i].name;
    const at::Tensor difference = store.gradient(static_cast<int64_t>(i)) - floats(*view);
    EXPECT_LT(difference.abs().max().item<float>(), 1e-5f) << view->name;
    ++compared;
  }
  EXPECT_EQ(compared, expected.tensors().size());
}

TEST(Attention, BlocksOfQueriesChangeNothing) {
  // 600 positions: three query blocks; the same positions alone in shorter prefixes must agree.
  const auto model = load(kGolden / "mistral_swa", "config.json", Precision::fp32, Weights::frozen);
  const at::Tensor ids = at::arange(600, at::kLong).remainder(model->spec().vocab).view({1, 600});
  const at::Tensor all = model->logits(ids), prefix = model->logits(ids.narrow(1, 0, 200));
  EXPECT_LT((all.narrow(1, 0, 200) - prefix).abs().max().item<float>(), 1e-4f);
}

TEST(Adapters, ZeroBChangesNothingAndMergedEqualsAttached) {
  const auto golden = Safetensors::open(kGolden / "llama_gqa/golden.safetensors");
  const at::Tensor ids = integers(golden.at("input_ids"));
  const auto model = load(kGolden / "llama_gqa", "config.json", Precision::fp32, Weights::frozen);
  const at::Tensor before = model->logits(ids);
  const std::string module = model->spec().blocks[0].attention.k.module();
  model->attach({{module, 4, 2.0f}}, 0, 1);
  EXPECT_LT((model->logits(ids) - before).abs().max().item<float>(), 1e-5f);

  const at::Tensor b = model->adapters().value(1);
  b.copy_(at::arange(b.numel(), at::kFloat).view(b.sizes()) * 1e-3);
  model->refresh();
  const at::Tensor attached = model->logits(ids);
  EXPECT_GT((attached - before).abs().max().item<float>(), 1e-3f);

  const auto merged = load(kGolden / "llama_gqa", "config.json", Precision::fp32, Weights::trained);
  merged->parameters()
      .value(merged->parameters().find(module + ".weight"))
      .add_(at::mm(b, model->adapters().value(0)), 2.0);
  merged->refresh();
  EXPECT_LT((merged->logits(ids) - attached).abs().max().item<float>(), 1e-4f);
}

TEST(Adapters, OnAnNf4BaseAreExactOnTheRoundedWeights) {
  // What the model computes is what a float model of the dequantized weights computes.
  const auto golden = Safetensors::open(kGolden / "qwen2/golden.safetensors");
  const at::Tensor ids = integers(golden.at("input_ids"));
  const auto nf4 = load(kGolden / "qwen2", "config.json", Precision::fp32, Weights::nf4);
  const auto rounded = load(kGolden / "qwen2", "config.json", Precision::fp32, Weights::trained);
  for (const BlockSpec& block : rounded->spec().blocks)
    for (const auto& [name, linear] : block.linears()) {
      const at::Tensor value =
          rounded->parameters().value(rounded->parameters().find(linear->weight));
      const Nf4Matrix matrix = quantize_nf4(
          {value.data_ptr<float>(), static_cast<size_t>(value.numel())}, linear->out, linear->in);
      dequantize_nf4(matrix, 0, linear->out, value.data_ptr<float>(), linear->in);
    }
  rounded->refresh();
  EXPECT_TRUE(at::allclose(nf4->logits(ids), rounded->logits(ids), 1e-5, 1e-5));
  const std::string module = nf4->spec().blocks[1].mlp.up.module();
  for (TrainableModel* model : {nf4.get(), rounded.get()}) {
    model->attach({{module, 3, 1.5f}}, 0, 2);
    model->adapters().value(1).fill_(0.01);
    model->refresh();
    cross_entropy(*model, ids);
  }
  EXPECT_TRUE(at::allclose(nf4->logits(ids), rounded->logits(ids), 1e-5, 1e-5));
  EXPECT_TRUE(at::allclose(nf4->adapters().flat_gradients(), rounded->adapters().flat_gradients(),
                           1e-4, 1e-6));
}

TEST(TrainableModel, InitializesTheSameForASeed) {
  const ModelSpec spec = spec_of(kGolden / "llama_gqa/config.json");
  TrainableModel one(spec, Precision::fp32, Weights::trained),
      two(spec, Precision::fp32, Weights::trained), other(spec, Precision::fp32, Weights::trained);
  one.initialize(7);
  two.initialize(7);
  other.initialize(8);
  EXPECT_TRUE(at::equal(one.parameters().flat(), two.parameters().flat()));
  EXPECT_FALSE(at::equal(one.parameters().flat(), other.parameters().flat()));
}

}  // namespace
}  // namespace attar
