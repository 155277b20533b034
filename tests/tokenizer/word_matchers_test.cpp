// The hand-written matchers against the regular expressions that they stand for.
#include <gtest/gtest.h>

#include "compress/base/files.h"
#include "compress/base/random.h"
#include "compress/tokenizer/published_patterns.h"
#include "compress/tokenizer/regex.h"
#include "compress/tokenizer/unicode.h"
#include "compress/tokenizer/word_matchers.h"

namespace attar {
namespace {

/// Characters of which the two libraries hold the same, though their editions of Unicode differ.
class Agreed {
 public:
  Agreed() {
    const Regex letter("\\p{L}", "here"), number("\\p{N}", "here"), space("\\s", "here");
    Regex::Scanner letters(letter), numbers(number), spaces(space);
    const auto matches = [](Regex::Scanner& scanner, const std::string& text) {
      bool found = false;
      scanner.each(text, [&](size_t, size_t) { found = true; });
      return found;
    };
    for (char32_t c = 0; c < 0x110000; ++c) {
      if (c >= 0xd800 && c < 0xe000) continue;
      std::string text;
      append_utf8(text, c);
      if (matches(letters, text) == is_letter(c) && matches(numbers, text) == is_numeric(c) &&
          matches(spaces, text) == is_white_space(c))
        agreed_.push_back(c);
      else
        ++others_;
    }
  }
  const std::vector<char32_t>& list() const { return agreed_; }
  size_t others() const { return others_; }

 private:
  std::vector<char32_t> agreed_;
  size_t others_ = 0;
};

const Agreed& agreed() {
  static const Agreed instance;
  return instance;
}

void expect_same(std::string_view expression, std::string_view text) {
  const WordMatcher matcher = find_word_matcher(expression);
  ASSERT_NE(matcher, nullptr);
  const Regex regex(expression, "here");
  size_t at = 0;
  Regex::Scanner(regex).each(text, [&](size_t begin, size_t end) {
    if (testing::Test::HasFailure()) return;
    ASSERT_EQ(begin, at);
    at = matcher(text, at);
    ASSERT_EQ(at, end) << "at byte " << begin << ", near \"" << text.substr(begin, 40) << '"';
  });
  ASSERT_EQ(at, text.size());
}

class WordMatchers : public testing::TestWithParam<std::string_view> {};

TEST_P(WordMatchers, OnRandomTexts) {
  EXPECT_LT(agreed().others(), 8000u);
  constexpr char32_t kSome[] = {U' ',  U' ', U'\n',     U'\r',   U'\t',     U'\'',     U's',
                                U'S',  U'l', U'r',      U'E',    U'v',      U'e',      U'd',
                                U'M',  U't', U'1',      U'2',    U'.',      U'\u017f', U'é',
                                U'漢', U'½', U'\u3000', U'🦙', U'\u00a0', U'-'};
  Random random(5);
  for (int i = 0; i < 4000; ++i) {
    std::string text;
    for (uint64_t left = random.below(80); left > 0; --left) {
      const auto& list = agreed().list();
      append_utf8(text, random.below(5) ? kSome[random.below(std::size(kSome))]
                                        : list[random.below(list.size())]);
    }
    expect_same(GetParam(), text);
    if (HasFatalFailure()) FAIL() << text;
  }
}

TEST_P(WordMatchers, OnEveryCharacter) {
  for (const char* frame : {" a", "'", "\n"}) {
    std::string text;
    for (const char32_t c : agreed().list()) {
      append_utf8(text, c);
      text += frame;
    }
    expect_same(GetParam(), text);
  }
}

TEST_P(WordMatchers, OnRealTexts) {
  const fs::path data = fs::path(ATTAR_SOURCE_DIR) / "../shared/datasets";
  if (!fs::exists(data)) GTEST_SKIP() << "needs " << data;
  for (const char* name : {"wikitext-2/valid.txt", "tinyshakespeare/input.txt",
                           "tinystories/tinystories_sample_2MB.txt", "banking77/train.csv",
                           "gsm8k/train.jsonl", "instruct_demo/alpaca_en_demo.json"})
    expect_same(GetParam(), lossy_utf8(read_text(data / name)));
}

INSTANTIATE_TEST_SUITE_P(All, WordMatchers,
                         testing::Values(patterns::kGpt2, patterns::kLlama3, patterns::kQwen2));

TEST(FindWordMatcher, KnowsOnlyWhatItEquals) {
  EXPECT_EQ(find_word_matcher("\\s+"), nullptr);
  std::string longer(patterns::kGpt2);
  longer += "|x";
  EXPECT_EQ(find_word_matcher(longer), nullptr);
  EXPECT_EQ(find_word_matcher(patterns::kGpt4o), nullptr);
}

}  // namespace
}  // namespace attar
