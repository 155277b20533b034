#include <gtest/gtest.h>

#include <filesystem>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/tokenizer/bpe_trainer.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {
namespace {

std::shared_ptr<const Tokenizer> load(const nlohmann::ordered_json& json,
                                      const BpeTrainerOptions& options) {
  const fs::path directory = fs::path(testing::TempDir()) / "bpe_trainer_test";
  fs::create_directories(directory);
  write_file(directory / "tokenizer.json", json.dump());
  write_file(directory / "tokenizer_config.json", trained_tokenizer_config(options).dump());
  return Tokenizer::load(directory);
}

TEST(BpeTrainer, MergesTheMostFrequentPairFirst) {
  const std::vector<std::string> documents = {"abab abab ab", "abc"};
  const BpeTrainerOptions options{.vocab_size = 260, .special_tokens = {"<s>", "</s>"}};
  const auto json = train_byte_level_bpe(documents, options);
  // Words: "abab" once, " abab" once, " ab" once, "abc" once. "ab" occurs 6 times; then "ab"+"ab",
  // "Ġ"+"ab" twice each: the lower ids win the tie.
  const auto& merges = json["model"]["merges"];
  EXPECT_EQ(merges[0], nlohmann::ordered_json({"a", "b"}));
  EXPECT_EQ(merges[1], nlohmann::ordered_json({"Ġ", "ab"}));
  EXPECT_EQ(json["model"]["vocab"].size(), 260u);
  EXPECT_EQ(json["model"]["vocab"]["ab"], 258);
}

TEST(BpeTrainer, OutputLoadsAndRoundTrips) {
  std::vector<std::string> documents;
  for (int i = 0; i < 50; ++i)
    documents.push_back("int value_" + std::to_string(i) +
                        " = other(value, 3);\n  // größer → 日本\n");
  const BpeTrainerOptions options{.vocab_size = 290};
  const auto json = train_byte_level_bpe(documents, options);
  set_thread_count(1);
  EXPECT_EQ(train_byte_level_bpe(documents, options).dump(), json.dump());
  set_thread_count(3);
  EXPECT_EQ(train_byte_level_bpe(documents, options).dump(), json.dump());
  const auto tokenizer = load(json, options);
  EXPECT_EQ(tokenizer->vocab_size(), 290);
  EXPECT_EQ(tokenizer->bos(), 0);
  EXPECT_EQ(tokenizer->eos(), 1);
  for (const auto& text : {documents[7], std::string("unseen: \t\x01 é🦙 <|eos|> it's")}) {
    const auto ids = tokenizer->encode(text);
    EXPECT_EQ(ids[0], 0);
    EXPECT_EQ(tokenizer->decode(std::span(ids).subspan(1)), text);
  }
  EXPECT_LT(tokenizer->encode(documents[7], false).size(), documents[7].size() / 2);
}

TEST(BpeTrainer, RefusesWhatCannotBe) {
  const std::vector<std::string> little = {"ab ab"};
  EXPECT_THROW(train_byte_level_bpe(little, {.vocab_size = 4096}), Error);
  EXPECT_THROW(train_byte_level_bpe(little, {.vocab_size = 100}), Error);
  EXPECT_THROW(train_byte_level_bpe(little, {.vocab_size = 300, .special_tokens = {"a", "b"}}),
               Error);
  EXPECT_THROW(train_byte_level_bpe(std::vector<std::string>{"\xff"}, {.vocab_size = 300}), Error);
}

}  // namespace
}  // namespace attar
