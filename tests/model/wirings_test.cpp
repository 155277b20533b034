// Every wiring that a spec can describe, against its plain form in float64: outputs, and the
// gradient of each parameter.
#include <gtest/gtest.h>

#include <cmath>

#include "compress/base/error.h"
#include "tests/model/losses.h"
#include "tests/model/reference_model.h"
#include "tests/model/synthetic_specs.h"

namespace attar {
namespace {

using testing::loss_of;
using testing::random_input;
using testing::randomize;
using testing::wirings;

TEST(Wirings, OutputsAreThoseOfThePlainForm) {
  for (const auto& [name, spec] : wirings()) {
    TrainableModel model(spec, Precision::fp32, Weights::trained);
    randomize(model, 1);
    const ModelInput input = random_input(spec, 21, 2);
    const at::NoGradGuard no_grad;
    const at::Tensor expected = ReferenceModel(spec, model.parameters()).output(input);
    const at::Tensor got = model.logits(input);
    ASSERT_EQ(got.sizes(), expected.sizes()) << name;
    EXPECT_GT(expected.std().item<double>(), 0.05) << name;
    EXPECT_LT((got - expected).abs().max().item<double>(), 2e-5) << name;
  }
}

TEST(Wirings, EveryGradientIsThatOfThePlainForm) {
  for (const auto& [name, spec] : wirings()) {
    TrainableModel model(spec, Precision::fp32, Weights::trained);
    randomize(model, 3);
    const ModelInput input = random_input(spec, 21, 4);
    testing::expect_gradients_of_plain_form(model, input, name);
  }
}

TEST(Wirings, ABatchIsTheSumOfItsParts) {
  for (const auto& [name, spec] : wirings()) {
    TrainableModel model(spec, Precision::fp32, Weights::trained);
    randomize(model, 15);
    const ModelInput both = random_input(spec, 18, 16);
    const at::Tensor gradients = model.parameters().flat_gradients();
    loss_of(model, both, 0.5);
    const at::Tensor expected = gradients.clone();
    gradients.zero_();
    for (int64_t row = 0; row < 2; ++row) {
      const auto part = [&](const at::Tensor& x) {
        return x.defined() ? x.narrow(0, row, 1).contiguous() : x;
      };
      loss_of(model, {part(both.ids), part(both.token_types), part(both.lengths)}, 0.5, row);
    }
    EXPECT_LT((gradients - expected).norm().item<double>(), 1e-5 * expected.norm().item<double>())
        << name;
  }
}

TEST(Wirings, InHalfPrecisionTheGradientPointsTheSameWay) {
  for (const auto& [name, spec] : wirings()) {
    TrainableModel exact(spec, Precision::fp32, Weights::trained),
        half(spec, Precision::bf16, Weights::trained);
    randomize(exact, 5);
    randomize(half, 5);
    const ModelInput input = random_input(spec, 21, 6);
    const double expected = loss_of(exact, input), got = loss_of(half, input);
    EXPECT_NEAR(got, expected, 0.03 * expected) << name;
    const at::Tensor a = exact.parameters().flat_gradients(),
                     b = half.parameters().flat_gradients();
    EXPECT_GT((at::dot(a, b) / (a.norm() * b.norm())).item<double>(), 0.98) << name;
  }
}

TEST(Wirings, LongSequencesCrossBlocksAndChunks) {
  // 300 positions: two blocks of queries, ten chunks of the recurrence.
  for (const auto& [name, spec] : wirings()) {
    if (spec.max_positions < 300) continue;
    TrainableModel model(spec, Precision::fp32, Weights::trained);
    randomize(model, 7);
    const at::Tensor ids = random_input(spec, 300, 8).ids;
    const at::Tensor all = model.logits(ids), prefix = model.logits(ids.narrow(1, 0, 130));
    EXPECT_LT((all.narrow(1, 0, 130) - prefix).abs().max().item<float>(), 1e-4f) << name;
    testing::expect_gradients_of_plain_form(model, ids, name, 1e-4);
  }
}

TEST(Wirings, PaddingChangesNothing) {
  for (const auto& [name, spec] : wirings()) {
    if (spec.task == Task::causal_lm) continue;
    TrainableModel model(spec, Precision::fp32, Weights::trained);
    randomize(model, 9);
    const ModelInput input = random_input(spec, 24, 10);
    const at::Tensor both = model.logits(input);
    const at::Tensor alone = model.logits({input.ids.narrow(0, 1, 1).narrow(1, 0, 16),
                                           input.token_types.narrow(0, 1, 1).narrow(1, 0, 16)});
    EXPECT_LT((both[1] - alone[0]).abs().max().item<float>(), 1e-5f) << name;
    ModelInput other = input;
    other.ids = input.ids.clone();
    other.ids[1].narrow(0, 16, 8).fill_(7);
    EXPECT_TRUE(at::equal(model.logits(other), both)) << name;
  }
}

TEST(Wirings, AdaptersAndNf4ReachEveryLinear) {
  for (const auto& [name, spec] : wirings()) {
    TrainableModel whole(spec, Precision::fp32, Weights::trained);
    randomize(whole, 11);
    class Values : public WeightSource {
     public:
      explicit Values(const ParameterStore& store) : store_(store) {
        for (const auto& entry : store.entries())
          list_.push_back({entry.name, entry.shape, "F32", 0});
      }
      const std::vector<WeightInfo>& list() const override { return list_; }
      bool has(std::string_view tensor) const override { return store_.find(tensor) >= 0; }
      Weight load(std::string_view tensor) const override {
        const at::Tensor value = store_.value(store_.find(tensor));
        const auto* bytes = static_cast<const std::byte*>(value.data_ptr());
        return DenseTensor{DType::f32,
                           value.sizes().vec(),
                           {bytes, static_cast<size_t>(4 * value.numel())},
                           nullptr};
      }

     private:
      const ParameterStore& store_;
      std::vector<WeightInfo> list_;
    };
    const Values values(whole.parameters());
    const ModelInput input = random_input(spec, 15, 12);
    const at::Tensor expected = whole.logits(input);
    for (const Weights weights : {Weights::frozen, Weights::nf4}) {
      TrainableModel model(spec, Precision::fp32, weights);
      model.load(values);
      const at::Tensor before = model.logits(input);
      const double difference = (before - expected).abs().max().item<double>();
      if (weights == Weights::frozen)
        EXPECT_EQ(difference, 0) << name;
      else
        EXPECT_GT(difference, 1e-3) << name;
      std::vector<AdapterPlan> plans;
      for (const auto& entry : whole.parameters().entries()) {
        const bool in_blocks = entry.name.starts_with("layers.") && entry.shape.size() == 2;
        if (in_blocks && !entry.name.ends_with("conv.weight"))
          plans.push_back({entry.name.substr(0, entry.name.size() - 7), 2, 1.5f});
      }
      model.attach(plans, 0, 13);
      ASSERT_EQ(model.adapters().entries().size(), 2 * plans.size()) << name;
      EXPECT_LT((model.logits(input) - before).abs().max().item<double>(), 1e-4) << name;
      model.adapters().flat().normal_(0, 0.1);
      model.refresh();
      loss_of(model, input);
      for (size_t i = 0; i < model.adapters().entries().size(); ++i) {
        const double size =
            model.adapters().gradient(static_cast<int64_t>(i)).norm().item<double>();
        EXPECT_GT(size, 0) << name << ": " << model.adapters().entries()[i].name;
      }
    }
  }
}

TEST(Wirings, MorePositionsThanLearnedOnesAreRefused) {
  const ModelSpec spec = testing::gpt2_like();
  TrainableModel model(spec, Precision::fp32, Weights::trained);
  randomize(model, 14);
  try {
    model.logits(at::zeros({1, 41}, at::kLong));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_NE(error.block().find("41 positions"), std::string::npos) << error.block();
  }
}

}  // namespace
}  // namespace attar
