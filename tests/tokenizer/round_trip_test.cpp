// Properties over random text.
#include <gtest/gtest.h>

#include "compress/base/random.h"
#include "compress/tokenizer/tokenizer.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden/tokenizers";

std::string random_text(Random& random) {
  constexpr char32_t kSome[] = {U' ', U' ', U'e',  U't',      U'a',    U'\n', U'\'',
                                U'1', U'é', U'漢', U'\u0301', U'🦙', U'▁',  U'<'};
  std::string text;
  for (uint64_t left = random.below(60); left > 0; --left) {
    char32_t c = kSome[random.below(std::size(kSome))];
    if (random.below(4) == 0) c = static_cast<char32_t>(random.below(0x110000));
    if (c >= 0xd800 && c < 0xe000) c = U'x';
    append_utf8(text, c);
  }
  return text;
}

class RoundTrip : public testing::TestWithParam<const char*> {};

TEST_P(RoundTrip, DecodingAnEncodedTextGivesItBack) {
  const auto tokenizer = Tokenizer::load(kGolden / GetParam());
  const bool blocks =
      std::string(GetParam()).find("spm") != std::string::npos;  // ▁ decodes to a space
  Random random(11);
  for (int i = 0; i < 3000; ++i) {
    std::string text = random_text(random);
    if (blocks)
      for (size_t at; (at = text.find("▁")) != std::string::npos;) text.replace(at, 3, 1, '_');
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false)), text);
  }
}

INSTANTIATE_TEST_SUITE_P(Lossless, RoundTrip,
                         testing::Values("gpt2_bytelevel", "llama3_bytelevel",
                                         "llama2_spm_bytefallback", "gemma_spm_bytefallback"));

TEST(StreamDecoding, PiecesJoinToTheWholeText) {
  Random random(12);
  for (const char* name :
       {"gpt2_bytelevel", "llama2_spm_bytefallback", "bert_wordpiece", "unigram_metaspace"}) {
    const auto tokenizer = Tokenizer::load(kGolden / name);
    for (int i = 0; i < 40; ++i) {
      std::vector<int32_t> ids;
      for (uint64_t left = random.below(300); left > 0; --left)
        ids.push_back(
            static_cast<int32_t>(random.below(static_cast<uint64_t>(tokenizer->vocab_size()))));
      for (const bool skip : {false, true}) {
        StreamDecoder stream(tokenizer, skip);
        std::string text;
        for (const int32_t id : ids) text += stream.push(id);
        text += stream.finish();
        ASSERT_EQ(text, tokenizer->decode(ids, skip)) << name;
      }
    }
  }
}

TEST(StreamDecoding, HoldsBackUnfinishedCharacters) {
  const auto tokenizer = Tokenizer::load(kGolden / "llama2_spm_bytefallback");
  const auto ids = tokenizer->encode("a🦙b", false);  // ▁a, four bytes, b
  StreamDecoder stream(tokenizer);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(stream.push(id));
  ASSERT_GE(pieces.size(), 6u);
  EXPECT_EQ(pieces.back(), "🦙b");
  EXPECT_EQ(pieces[pieces.size() - 2], "");
}

TEST(LongWords, TakeAboutLinearTime) {  // a quadratic algorithm would take a minute
  for (const char* name : {"llama3_bytelevel", "llama2_spm_bytefallback"}) {
    const auto tokenizer = Tokenizer::load(kGolden / name);
    const std::string text(300'000, 'a');
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false)), text);
  }
}

}  // namespace
}  // namespace attar
