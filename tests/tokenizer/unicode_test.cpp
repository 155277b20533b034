#include <gtest/gtest.h>

#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

TEST(Unicode, FindsTheFirstIllFormedByte) {
  EXPECT_FALSE(find_invalid_utf8(""));
  EXPECT_FALSE(find_invalid_utf8("plain ascii, é, 日本, 🦙, \U0010FFFF"));
  EXPECT_EQ(find_invalid_utf8("0123456789\xff"), 10u);
  EXPECT_EQ(find_invalid_utf8("a\xc0\x80"), 1u);          // overlong
  EXPECT_EQ(find_invalid_utf8("a\xed\xa0\x80"), 1u);      // surrogate
  EXPECT_EQ(find_invalid_utf8("a\xf4\x90\x80\x80"), 1u);  // above U+10FFFF
  EXPECT_EQ(find_invalid_utf8("ab\xe2\x82"), 2u);         // unfinished
  EXPECT_EQ(find_invalid_utf8("\x80"), 0u);
}

TEST(Unicode, LossyReplacesMaximalSubparts) {  // Unicode 15, table 3-8
  const std::string bad(kReplacementCharacter);
  EXPECT_EQ(lossy_utf8("a\xf1\x80\x80\xe1\x80\xc2z"), "a" + bad + bad + bad + "z");
  EXPECT_EQ(lossy_utf8("\xc0\xaf"), bad + bad);
  EXPECT_EQ(lossy_utf8("é\xe2\x82"), "é" + bad);
}

TEST(Unicode, CharactersRoundTrip) {
  for (const char32_t c :
       {U'\0', U'a', U'\x7f', U'\x80', U'\x7ff', U'\x800', U'\xffff', U'\x10000', U'\x10ffff'}) {
    std::string text;
    append_utf8(text, c);
    size_t at = 0;
    EXPECT_EQ(next_character(text, at), c);
    EXPECT_EQ(at, text.size());
    EXPECT_FALSE(find_invalid_utf8(text));
  }
}

TEST(Unicode, Classes) {
  EXPECT_TRUE(is_white_space(0xa0) && is_white_space('\n') && is_white_space(0x3000));
  EXPECT_FALSE(is_white_space(0x200b) || is_white_space(0x180e) || is_white_space(0x1c));
  EXPECT_TRUE(is_punctuation('$') && is_punctuation('_') && is_punctuation(U'、'));
  EXPECT_FALSE(is_punctuation('a') || is_punctuation(U'€') || is_punctuation(' '));
  EXPECT_TRUE(is_numeric(U'½') && is_numeric(U'Ⅷ') && is_numeric(U'٣'));
  EXPECT_TRUE(is_word_character(U'_') && is_word_character(U'é') && is_word_character(0x301));
  EXPECT_FALSE(is_word_character(U'-') || is_word_character(U'²'));
}

TEST(Unicode, NormalForms) {
  EXPECT_EQ(normalized("e\u0301", NormalForm::nfc), "é");
  EXPECT_EQ(normalized("é", NormalForm::nfd), "e\u0301");
  EXPECT_EQ(normalized("ﬁ½", NormalForm::nfkc), "fi1\u20442");
  EXPECT_EQ(normalized("ﬁ", NormalForm::nfc), "ﬁ");
  EXPECT_EQ(normalized(std::string_view("a\0b", 3), NormalForm::nfkd), std::string_view("a\0b", 3));
  std::string lower;
  for (const char32_t c : {U'A', U'É', U'İ', U'Σ'}) append_lowercase(lower, c);
  EXPECT_EQ(lower, "aéi\u0307σ");
}

}  // namespace
}  // namespace attar
