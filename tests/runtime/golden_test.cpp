// Logits and greedy ids of the reference implementation, for every family and both styles of
// config.json.
#include <gtest/gtest.h>

#include <cmath>

#include "compress/runtime/model.h"
#include "tests/runtime/golden.h"

namespace attar {
namespace {

class Golden : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, Golden, ::testing::ValuesIn(kGoldenModels),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(Golden, LogitsFromBothConfigStyles) {
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

}  // namespace
}  // namespace attar
