#include <gmock/gmock.h>

#include "compress/base/error.h"
#include "compress/tokenizer/regex.h"

namespace attar {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> matches(std::string_view expression, std::string_view text) {
  const Regex regex(expression, "here");
  std::vector<std::string> found;
  Regex::Scanner(regex).each(
      text, [&](size_t begin, size_t end) { found.emplace_back(text.substr(begin, end - begin)); });
  return found;
}

TEST(Regex, WhiteSpaceIsUnicodes) {
  EXPECT_THAT(matches(R"(\s+)", "a\u00a0\u3000b\u180ec\u200bd"), ElementsAre("\u00a0\u3000"));
  EXPECT_THAT(matches(R"([^\S\n]+)", "a \n\tb"), ElementsAre(" ", "\t"));
}

TEST(Regex, WordsAreUnicodes) {
  EXPECT_THAT(matches(R"(\w+)", "naïve_ Ⅷ x² e\u0301t"),
              ElementsAre("naïve_", "Ⅷ", "x", "e\u0301t"));
  EXPECT_THAT(matches(R"(\bcat\b)", "cat cats é\u0301cat cat"), ElementsAre("cat", "cat"));
}

TEST(Regex, LinesAsInRuby) {  // ^ and $ are always about lines, . never crosses one
  EXPECT_THAT(matches("^.", "ab\ncd"), ElementsAre("a", "c"));
  EXPECT_THAT(matches(".$", "ab\ncd\n"), ElementsAre("b", "d"));
}

TEST(Regex, ScriptsAndNestedClasses) {
  EXPECT_THAT(matches(R"(\p{Han}+)", "漢字、かな"), ElementsAre("漢字"));
  EXPECT_THAT(matches(R"( ?[^(\s|[.,!?])]+)", "hi, (you) there!"),
              ElementsAre("hi", "you", " there"));
  EXPECT_THAT(matches(R"(\u0041)", "ABA"), ElementsAre("A", "A"));
}

TEST(Regex, EmptyMatchesAdvanceByACharacter) {
  EXPECT_THAT(matches("x*", "éxxé"), ElementsAre("", "xx", ""));
  EXPECT_THAT(matches("a", ""), IsEmpty());
}

TEST(Regex, RefusesWhatTheEnginesReadDifferently) {
  for (const char* expression :
       {"[a-z&&[^aeiou]]", "[[:alpha:]]", "a{1,3}+", "(?m:a)", "(?<name>a)", "\\h", "[^\\W]",
        "(*ACCEPT)", "[[^a]]", "\\p{Nonsense}", "a{,3}", "(", "\\", "[a", "\\xff", "\\C"})
    EXPECT_THROW(Regex(expression, "here"), Error) << expression;
}

TEST(Regex, LongTextsNeitherOverflowNorSlowDown) {
  const std::string spaces(3'000'000, ' ');
  EXPECT_EQ(matches(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", spaces + "x").size(), 2u);
  EXPECT_EQ(matches(R"((?:\p{L}\p{M}*)+)", std::string(1'000'000, 'a')).size(), 1u);
}

}  // namespace
}  // namespace attar
