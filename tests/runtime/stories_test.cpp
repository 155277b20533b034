// A published model that was trained for real, outside this repository: skipped, visibly, where it
// is not there.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "compress/runtime/model.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {
namespace {

TEST(Stories260K, GreedyTextEqualsTheRecordedOneToTheCharacter) {
  const fs::path path = fs::path(ATTAR_SOURCE_DIR) / "../shared/models/stories260K-hf";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is not there";
  std::ifstream file(path / "golden_greedy.txt", std::ios::binary);
  const std::string expected{std::istreambuf_iterator<char>(file), {}};

  const auto model = RuntimeModel::load(open_model(path));
  const auto tokenizer = Tokenizer::load(path);
  StreamDecoder decoder(tokenizer);
  Session session(model);
  Sampler sampler({});
  std::string text;
  int32_t id = static_cast<int32_t>(model->spec().bos_id.value());
  while (text.size() < expected.size() && session.position() < model->spec().max_positions) {
    id = sampler.next(session.advance({&id, 1}));
    text += decoder.push(id);
  }
  text += decoder.finish();
  EXPECT_EQ(text.substr(0, expected.size()), expected);
}

/// There is no recorded text of this one; a trained model finds English far likelier than the same
/// letters backwards, which any mistake in its wiring would undo.
TEST(Bitstories3M, FindsItsOwnKindOfTextLikely) {
  const fs::path path = fs::path(ATTAR_SOURCE_DIR) / "../shared/models/bitstories-3M-hf";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is not there";
  const auto model = RuntimeModel::load(open_model(path));
  const auto tokenizer = Tokenizer::load(path);
  const auto nats_per_byte = [&](const std::string& text) {
    const std::vector<int32_t> ids = tokenizer->encode(text);
    const auto vocab = static_cast<size_t>(model->spec().vocab);
    std::vector<float> logits(ids.size() * vocab);
    Session(model).advance_all(ids, logits.data());
    double nats = 0;
    for (size_t t = 0; t + 1 < ids.size(); ++t) {
      const float* row = logits.data() + t * vocab;
      double sum = 0;
      for (size_t i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(row[i]));
      nats += std::log(sum) - static_cast<double>(row[ids[t + 1]]);
    }
    return nats / static_cast<double>(text.size());
  };
  const std::string story =
      "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
      "park. One day, she saw a big red ball. She was very happy and wanted to play with it.";
  EXPECT_LT(nats_per_byte(story), 0.5);
  EXPECT_GT(nats_per_byte(std::string(story.rbegin(), story.rend())), 2.0);
}

}  // namespace
}  // namespace attar
