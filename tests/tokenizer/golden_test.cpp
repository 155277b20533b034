// Ids, tokens and decoded text recorded from the reference implementation
// (tests/golden/tokenizers).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "compress/tokenizer/tokenizer.h"

namespace attar {
namespace {

const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden/tokenizers";

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, MatchesTheReference) {
  const auto tokenizer = Tokenizer::load(kGolden / GetParam());
  const auto golden = nlohmann::json::parse(read_text(kGolden / GetParam() / "golden.json"));
  ASSERT_FALSE(golden["cases"].empty());
  for (const auto& item : golden["cases"]) {
    const std::string text = item["text"];
    SCOPED_TRACE(text);
    const auto ids = tokenizer->encode(text, false);
    const auto with_special = tokenizer->encode(text, true);
    EXPECT_EQ(ids, item["ids"].get<std::vector<int32_t>>());
    EXPECT_EQ(with_special, item["ids_with_special"].get<std::vector<int32_t>>());
    const std::vector<std::string> tokens = item["tokens"];
    ASSERT_EQ(ids.size(), tokens.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      const std::string token = tokenizer->token(ids[i]);
      // For an unknown token the reference shows the text instead.
      if (token == "<unk>") continue;
      EXPECT_EQ(token, tokens[i]);
    }
    EXPECT_EQ(tokenizer->decode(ids, false), item["decoded"].get<std::string>());
    EXPECT_EQ(tokenizer->decode(with_special, true),
              item["decoded_skip_special"].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, Golden,
                         testing::Values("gpt2_bytelevel", "llama3_bytelevel",
                                         "qwen2_bytelevel_nfc", "llama2_spm_bytefallback",
                                         "gemma_spm_bytefallback", "bert_wordpiece",
                                         "unigram_metaspace"));

}  // namespace
}  // namespace attar
