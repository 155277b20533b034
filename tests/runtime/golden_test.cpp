// Logits and greedy ids of the reference implementation, for every family and both styles of
// config.json.
#include <gtest/gtest.h>

#include <cmath>

#include "compress/architecture/storage.h"
#include "compress/runtime/model.h"
#include "tests/runtime/golden.h"

namespace attar {
namespace {

class Golden : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, Golden, ::testing::ValuesIn(kGoldenModels),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(Golden, LogitsFromBothConfigStyles) {
  ATTAR_NEEDS_FIXTURE(GetParam());
  const Safetensors golden = Safetensors::open(golden_path(GetParam()) / "golden.safetensors");
  const TensorView& input = golden.at("input_ids");
  const auto ids = ids_of(input);
  const auto expected = golden.at("logits").floats();
  for (const char* config : {"config.json", "config.legacy.json"}) {
    SCOPED_TRACE(config);
    if (!fs::exists(golden_path(GetParam()) / config)) continue;  // newer than the old style
    const auto model = RuntimeModel::load(golden_model(GetParam(), config));
    const auto count = static_cast<size_t>(input.shape[1]);
    const auto vocab = static_cast<size_t>(model->spec().vocab);
    double worst = 0;
    for (size_t row = 0; row < static_cast<size_t>(input.shape[0]); ++row) {
      std::vector<float> logits(count * vocab);
      Session(model).advance_all(std::span(ids).subspan(row * count, count), logits.data());
      for (size_t i = 0; i < logits.size(); ++i)
        worst = std::max(worst, std::abs(static_cast<double>(logits[i]) -
                                         static_cast<double>(expected[row * logits.size() + i])));
    }
    EXPECT_LT(worst, golden_tolerance(GetParam()));
    RecordProperty("worst", std::to_string(worst));
  }
}

TEST_P(Golden, GreedyIds) {
  ATTAR_NEEDS_FIXTURE(GetParam());
  const Safetensors golden = Safetensors::open(golden_path(GetParam()) / "golden.safetensors");
  const auto expected = ids_of(golden.at("greedy_ids"));
  Session session(RuntimeModel::load(golden_model(GetParam())));
  Sampler sampler({});
  auto logits = session.advance(ids_of(golden.at("prompt_ids")));
  std::vector<int32_t> ids;
  while (ids.size() < expected.size()) {
    ids.push_back(sampler.next(logits));
    logits = session.advance(std::span(&ids.back(), 1));
  }
  EXPECT_EQ(ids, expected);
}

/// Wherever a text is cut, what follows its last id is the same.
TEST_P(Golden, OneByOneEqualsAllAtOnce) {
  ATTAR_NEEDS_FIXTURE(GetParam());
  const Safetensors golden = Safetensors::open(golden_path(GetParam()) / "golden.safetensors");
  const auto both = ids_of(golden.at("input_ids"));
  const auto ids = std::span<const int32_t>(both).first(24);
  const auto model = RuntimeModel::load(golden_model(GetParam()));
  Session one_by_one(model);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto expected = Session(model).advance(ids.first(i + 1));
    EXPECT_EQ(one_by_one.advance(ids.subspan(i, 1)), expected) << "after " << i + 1 << " ids";
  }
}

/// Logical tensors, written again, are the published file.
TEST_P(Golden, RoundTripThroughTheWriter) {
  ATTAR_NEEDS_FIXTURE(GetParam());
  const Model model = golden_model(GetParam());
  const fs::path directory = fs::path(::testing::TempDir()) / "attar_round_trip" / GetParam();
  fs::create_directories(directory);
  std::vector<TensorPlan> plans;
  for (const TensorSpec& tensor : tensors(model.spec))
    plans.push_back({tensor.name, tensor.shape, DType::f32, {}});
  StoredWriter writer(model.spec, directory, model.config, plans, {});
  for (const TensorPlan& plan : plans)
    writer.write(plan.name, std::get<DenseTensor>(model.weights->load(plan.name)).bytes);
  writer.finish();
  const Model back = open_model(directory);
  ASSERT_EQ(back.stored->list().size(), model.stored->list().size());
  for (const WeightInfo& info : model.stored->list()) {
    ASSERT_TRUE(back.stored->has(info.name)) << info.name;
    EXPECT_EQ(back.stored->floats(info.name), model.stored->floats(info.name)) << info.name;
  }
  fs::remove_all(directory);
}

/// Adapters of the published models' layers: plain, by patterns, fused and stored as [in, out].
TEST(GoldenAdapter, GivesTheReferencesLogits) {
  for (const auto& [name, base] :
       {std::pair("llama_r8", "llama_gqa"), std::pair("llama_rslora_patterns", "llama_gqa"),
        std::pair("gpt2_conv1d", "gpt2")}) {
    SCOPED_TRACE(name);
    const fs::path adapter = fs::path(ATTAR_SOURCE_DIR) / "../shared/fixtures/methods/lora" / name;
    if (!fs::exists(adapter)) GTEST_SKIP() << "no reference adapter at " << adapter;
    ATTAR_NEEDS_FIXTURE(base);
    const Safetensors golden = Safetensors::open(adapter / "golden.safetensors");
    const TensorView& input = golden.at("input_ids");
    const auto ids = ids_of(input);
    const auto expected = golden.at("logits_adapter").floats();
    const auto model = RuntimeModel::load(with_adapter(golden_model(base), adapter));
    const auto count = static_cast<size_t>(input.shape[1]);
    std::vector<float> logits(count * static_cast<size_t>(model->spec().vocab));
    for (size_t row = 0; row < static_cast<size_t>(input.shape[0]); ++row) {
      Session(model).advance_all(std::span(ids).subspan(row * count, count), logits.data());
      for (size_t i = 0; i < logits.size(); ++i)
        ASSERT_NEAR(logits[i], expected[row * logits.size() + i], 1e-4) << i;
    }
  }
}

}  // namespace
}  // namespace attar
