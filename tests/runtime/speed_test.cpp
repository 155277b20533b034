#include "compress/runtime/speed.h"

#include <gtest/gtest.h>

#include "compress/base/error.h"
#include "tests/runtime/golden.h"

namespace attar {
namespace {

TEST(Speed, MeasuresEveryRepetition) {
  const auto model = RuntimeModel::load(golden_model("llama_gqa"));
  const Speed speed = measure_speed(model, {.prompt = 20, .generate = 5, .repetitions = 3});
  EXPECT_EQ(speed.prefill_tokens_per_s.samples.size(), 3u);
  EXPECT_EQ(speed.decode_tokens_per_s.samples.size(), 3u);
  EXPECT_GT(speed.decode_tokens_per_s.median, 0);
  EXPECT_GE(speed.prefill_tokens_per_s.spread, 0);
  EXPECT_NEAR(speed.first_token_seconds * speed.prefill_tokens_per_s.median, 20, 1e-6);
}

TEST(Speed, SaysWhatShareOfTheMemorysSpeedReadingTheWeightsIs) {
  const auto model = RuntimeModel::load(golden_model("llama_gqa"));
  const Speed speed =
      measure_speed(model, {.prompt = 4, .generate = 5, .repetitions = 3, .bandwidth = true});
  EXPECT_GT(speed.read_bandwidth, 0.1);
  EXPECT_GT(speed.decode_share, 0);
  EXPECT_LT(model->step_bytes(), model->bytes());  // the table of embeddings is looked up
}

TEST(Speed, RefusesMoreThanTheModelHolds) {
  const auto model = RuntimeModel::load(golden_model("llama_gqa"));
  EXPECT_THROW(measure_speed(model, {.prompt = 100, .generate = 29}), Error);
  EXPECT_THROW(measure_speed(model, {.prompt = 0, .generate = 1}), Error);
  EXPECT_THROW(measure_speed(model, {.prompt = 1, .generate = 1, .repetitions = 0}), Error);
}

}  // namespace
}  // namespace attar
