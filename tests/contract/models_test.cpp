// What the commands promise about models, checked through the commands: reference logits and greedy
// ids in both backends and both config styles.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "compress/formats/safetensors.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

using testing::attar;
using testing::golden;

struct ModelCase {
  std::string fixture, config, backend;
};

std::string label(const ::testing::TestParamInfo<ModelCase>& info) {
  std::string name = info.param.fixture + "_" + info.param.config + "_" + info.param.backend;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

/// A model directory with the fixture's weights under the config of one style.
fs::path model_directory(const fs::path& root, const std::string& fixture,
                         const std::string& config) {
  fs::create_directories(root / "model");
  fs::copy_file(golden(fixture) / config, root / "model" / "config.json");
  fs::copy_file(golden(fixture) / "model.safetensors", root / "model" / "model.safetensors");
  return root / "model";
}

/// Writes `ids` [rows, length] as the commands' input file.
void write_ids(const fs::path& path, const std::vector<int64_t>& ids, int64_t rows) {
  SafetensorsWriter writer(
      path, {{"input_ids", DType::i64, {rows, static_cast<int64_t>(ids.size()) / rows}}});
  writer.write("input_ids", std::as_bytes(std::span(ids)));
  writer.finish();
}

class Models : public ::testing::TestWithParam<ModelCase> {
 protected:
  void SetUp() override {
#ifndef ATTAR_HAS_TRAINING
    if (GetParam().backend == "torch") GTEST_SKIP() << "built without LibTorch";
#endif
    root_ = testing::make_test_directory("contract-models");
    model_ = model_directory(root_, GetParam().fixture, GetParam().config);
  }
  void TearDown() override {
    fs::remove_all(root_);
  }

  std::vector<float> logits(const std::vector<int64_t>& ids, int64_t rows) {
    write_ids(root_ / "in.safetensors", ids, rows);
    const auto result = attar({"logits", model_, "--input", root_ / "in.safetensors", "--output",
                               root_ / "out.safetensors", "--backend", GetParam().backend});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return Safetensors::open(root_ / "out.safetensors").at("logits").floats();
  }

  fs::path root_, model_;
};

TEST_P(Models, LogitsEqualTheReference) {
  const auto reference = Safetensors::open(golden(GetParam().fixture) / "golden.safetensors");
  const auto got = logits(reference.at("input_ids").integers(), 2);
  const auto want = reference.at("logits").floats();
  ASSERT_EQ(got.size(), want.size());
  float largest = 0;
  for (size_t i = 0; i < got.size(); ++i) largest = std::max(largest, std::fabs(got[i] - want[i]));
  EXPECT_LT(largest, 1e-4f);
}

TEST_P(Models, GreedyIdsEqualTheReference) {
  const auto reference = Safetensors::open(golden(GetParam().fixture) / "golden.safetensors");
  auto ids = reference.at("prompt_ids").integers();
  const auto prompt_length = ids.size();
  const auto want = reference.at("greedy_ids").integers();
  // One forward over prompt + continuation: position t must prefer the id that follows.
  ids.insert(ids.end(), want.begin(), want.end());
  const auto got = logits(ids, 1);
  const size_t vocab = got.size() / ids.size();
  for (size_t t = prompt_length; t < ids.size(); ++t) {
    const auto row = got.begin() + static_cast<long>((t - 1) * vocab);
    EXPECT_EQ(std::max_element(row, row + static_cast<long>(vocab)) - row, ids[t])
        << "position " << t;
  }
}

std::vector<ModelCase> cases() {
  std::vector<ModelCase> list;
  for (const char* fixture : {"llama_gqa", "llama_llama3rope", "llama_tied", "mistral_swa", "qwen2",
                              "qwen3", "smollm3_nope"})
    for (const char* config : {"config.json", "config.legacy.json"})
      for (const char* backend : {"runtime", "torch"}) list.push_back({fixture, config, backend});
  return list;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Models, ::testing::ValuesIn(cases()), label);

TEST(Generate, StoriesEqualThePublishedGreedyText) {
  const auto model = testing::beside("models/stories260K-hf");
  ATTAR_NEEDS(model);
  const auto want = testing::slurp(model / "golden_greedy.txt");
  // The published run starts from BOS alone and goes on for 565 characters.
  const auto result = attar({"generate", model, "--prompt", "", "--max-new-tokens", "256"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.substr(0, want.size()), want);
}

TEST(Generate, TheSameSeedWritesTheSameText) {
  const auto model = testing::beside("models/stories260K-hf");
  ATTAR_NEEDS(model);
  const std::vector<std::string> command = {"generate",         model, "--prompt", "Once",
                                            "--temperature",    "0.9", "--seed",   "3",
                                            "--max-new-tokens", "40"};
  const auto first = attar(command), second = attar(command);
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(first.out, second.out);
  EXPECT_FALSE(first.out.empty());
}

}  // namespace
}  // namespace attar
