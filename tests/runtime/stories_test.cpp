// A published model that was trained for real, outside this repository: skipped, visibly, where it
// is not there.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace attar
