// Each component by itself, with the cases of its definition.
#include <gmock/gmock.h>

#include "compress/base/error.h"
#include "compress/tokenizer/components.h"

namespace attar {
namespace {

using nlohmann::json;
using testing::ElementsAre;

std::string normalize(const char* definition, std::string text) {
  const json parsed = json::parse(definition);
  make_normalizer({parsed, "normalizer"})->apply(text);
  return text;
}

std::vector<std::string> split(const std::string& definition, const std::string& text,
                               bool at_start = true) {
  const json parsed = json::parse(definition);
  Pieces pieces{text, {{0, text.size(), at_start}}};
  make_pre_tokenizer({parsed, "pre_tokenizer"})->apply(pieces);
  std::vector<std::string> result;
  for (const Piece& piece : pieces.list) result.emplace_back(pieces.at(piece));
  return result;
}

std::string decode(const char* definition, std::vector<std::string> tokens) {
  const json parsed = json::parse(definition);
  make_decoder({parsed, "decoder"})->apply(tokens);
  std::string text;
  for (const auto& token : tokens) text += token;
  return text;
}

std::string dashes(const char* behavior, bool invert = false) {
  return std::string(R"({"type": "Split", "pattern": {"String": "-"}, "behavior": ")") + behavior +
         R"(", "invert": )" + (invert ? "true}" : "false}");
}

TEST(Normalizers, DoWhatTheirNamesSay) {
  EXPECT_EQ(normalize(R"({"type": "Prepend", "prepend": "_"})", "a"), "_a");
  EXPECT_EQ(normalize(R"({"type": "Prepend", "prepend": "_"})", ""), "");
  EXPECT_EQ(
      normalize(R"({"type": "Strip", "strip_left": true, "strip_right": false})", " \u00a0a b "),
      "a b ");
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": true, "strip_right": true})", " a b\n"),
            "a b");
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": false, "strip_right": true})", " \n "),
            "");
  EXPECT_EQ(
      normalize(R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "})", "a   b c"),
      "a b c");
  EXPECT_EQ(
      normalize(R"({"type": "Replace", "pattern": {"String": "``"}, "content": "\""})", "``x"),
      "\"x");
  EXPECT_EQ(
      normalize(R"({"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"},
                          {"type": "Lowercase"}]})",
                "ÉÀ"),
      "ea");
  EXPECT_EQ(normalize(R"({"type": "ByteLevel"})", " é"), "ĠÃ©");
  EXPECT_EQ(
      normalize(R"({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                          "strip_accents": null, "lowercase": true})",
                "É\t\u0001漢x"),
      "e  漢 x");
}

TEST(PreTokenizers, SplitBehaviors) {
  const std::string text = "the-final--countdown";
  EXPECT_THAT(split(dashes("Removed"), text), ElementsAre("the", "final", "countdown"));
  EXPECT_THAT(split(dashes("Isolated"), text),
              ElementsAre("the", "-", "final", "-", "-", "countdown"));
  EXPECT_THAT(split(dashes("MergedWithPrevious"), text),
              ElementsAre("the-", "final-", "-", "countdown"));
  EXPECT_THAT(split(dashes("MergedWithNext"), text),
              ElementsAre("the", "-final", "-", "-countdown"));
  EXPECT_THAT(split(dashes("Contiguous"), text),
              ElementsAre("the", "-", "final", "--", "countdown"));
  EXPECT_THAT(split(dashes("Removed", true), text), ElementsAre("-", "-", "-"));
}

TEST(PreTokenizers, Others) {
  EXPECT_THAT(split(R"({"type": "Whitespace"})", "Hey, you_1 … x"),
              ElementsAre("Hey", ",", "you_1", "…", "x"));
  EXPECT_THAT(split(R"({"type": "WhitespaceSplit"})", " a, b\u3000c"), ElementsAre("a,", "b", "c"));
  EXPECT_THAT(split(R"({"type": "Digits", "individual_digits": true})", "a12½"),
              ElementsAre("a", "1", "2", "½"));
  EXPECT_THAT(split(R"({"type": "Digits", "individual_digits": false})", "a12b"),
              ElementsAre("a", "12", "b"));
  EXPECT_THAT(split(R"({"type": "Punctuation"})", "a?!b"), ElementsAre("a", "?", "!", "b"));
  EXPECT_THAT(split(R"({"type": "Punctuation", "behavior": "Contiguous"})", "a?!b"),
              ElementsAre("a", "?!", "b"));
  EXPECT_THAT(split(R"({"type": "BertPreTokenizer"})", "it's $5."),
              ElementsAre("it", "'", "s", "$", "5", "."));
  EXPECT_THAT(split(R"({"type": "CharDelimiterSplit", "delimiter": "|"})", "a|b||c"),
              ElementsAre("a", "b", "c"));
}

TEST(PreTokenizers, ByteLevel) {
  const char* plain = R"({"type": "ByteLevel", "add_prefix_space": true, "use_regex": true})";
  EXPECT_THAT(split(plain, "it's  ok\n"), ElementsAre("Ġit", "'s", "Ġ", "Ġok", "Ċ"));
  EXPECT_THAT(split(plain, " a"), ElementsAre("Ġa"));
}

TEST(PreTokenizers, Metaspace) {
  const auto with = [](const char* scheme) {
    return std::string(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": ")") +
           scheme + R"(", "split": true})";
  };
  EXPECT_THAT(split(with("always"), "a b", false), ElementsAre("▁a", "▁b"));
  EXPECT_THAT(split(with("first"), "a b", true), ElementsAre("▁a", "▁b"));
  EXPECT_THAT(split(with("first"), "a b", false), ElementsAre("a", "▁b"));
  EXPECT_THAT(split(with("never"), " a  b"), ElementsAre("▁a", "▁", "▁b"));
  EXPECT_THAT(
      split(R"({"type": "Metaspace", "replacement": "▁", "add_prefix_space": false})", "a b"),
      ElementsAre("a", "▁b"));
}

TEST(Decoders, DoWhatTheirNamesSay) {
  EXPECT_EQ(decode(R"({"type": "ByteLevel"})", {"Ġa", "Ã", "©", "Ã", "<x y>"}), " aé\uFFFD<x y>");
  EXPECT_EQ(decode(R"({"type": "ByteFallback"})",
                   {"<0xC3>", "<0xA9>", "a", "<0xC3>", "<0x41>", "<0xZZ>"}),
            "éa\uFFFD\uFFFD<0xZZ>");
  EXPECT_EQ(decode(R"({"type": "Strip", "content": " ", "start": 1, "stop": 0})", {"  a", " b"}),
            " ab");
  EXPECT_EQ(decode(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"})",
                   {"▁a", "▁b"}),
            "a b");
  EXPECT_EQ(decode(R"({"type": "WordPiece", "prefix": "##", "cleanup": true})",
                   {"do", "n", "##'", "t", "."}),
            "do n' t.");
  EXPECT_EQ(decode(R"({"type": "BPEDecoder", "suffix": "</w>"})", {"ab</w>", "c", "d</w>"}),
            "ab cd");
}

TEST(PostProcessors, SurroundASequence) {
  const auto run = [](const char* definition, bool special) {
    const json parsed = json::parse(definition);
    std::vector<int32_t> ids = {7, 8};
    make_post_processor({parsed, "post_processor"})->apply(ids, special);
    return ids;
  };
  const char* roberta = R"({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
                            "trim_offsets": true, "add_prefix_space": true})";
  EXPECT_THAT(run(roberta, true), ElementsAre(0, 7, 8, 2));
  EXPECT_THAT(run(roberta, false), ElementsAre(7, 8));
  EXPECT_THAT(run(R"({"type": "TemplateProcessing", "pair": [],
                      "single": [{"SpecialToken": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                      "special_tokens": {"A": {"id": "A", "ids": [5, 6], "tokens": ["a", "b"]}}})",
                  true),
              ElementsAre(5, 6, 7, 8));
}

TEST(PostProcessors, PutTwoSequencesTogetherWithTheirTypes) {
  const auto run = [](const char* definition) {
    const json parsed = json::parse(definition);
    const std::vector<int32_t> first = {7, 8}, second = {9};
    TypedIds out;
    EXPECT_TRUE(make_post_processor({parsed, "post_processor"})->assemble(first, &second, out));
    return out;
  };
  const auto bert = run(R"({"type": "BertProcessing", "sep": ["[SEP]", 2], "cls": ["[CLS]", 1]})");
  EXPECT_THAT(bert.ids, ElementsAre(1, 7, 8, 2, 9, 2));
  EXPECT_THAT(bert.types, ElementsAre(0, 0, 0, 0, 1, 1));
  const auto roberta = run(R"({"type": "Sequence", "processors": [
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
      {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
       "trim_offsets": true, "add_prefix_space": true}]})");
  EXPECT_THAT(roberta.ids, ElementsAre(0, 7, 8, 2, 2, 9, 2));
  EXPECT_THAT(roberta.types, ElementsAre(0, 0, 0, 0, 0, 0, 0));
  const auto templated = run(R"({"type": "TemplateProcessing",
      "single": [{"Sequence": {"id": "A", "type_id": 0}}],
      "pair": [{"SpecialToken": {"id": "X", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 3}},
               {"Sequence": {"id": "A", "type_id": 1}}],
      "special_tokens": {"X": {"id": "X", "ids": [5], "tokens": ["x"]}}})");
  EXPECT_THAT(templated.ids, ElementsAre(5, 9, 7, 8));
  EXPECT_THAT(templated.types, ElementsAre(0, 3, 1, 1));
}

TEST(Components, UnknownOnesAreRefusedByName) {
  const auto message = [](const char* definition) -> std::string {
    try {
      split(definition, "");
    } catch (const Error& error) {
      return error.block();
    }
    return "";
  };
  EXPECT_THAT(message(R"({"type": "ByteLevle"})"),
              AllOf(testing::HasSubstr("pre-tokenizer \"ByteLevle\""),
                    testing::HasSubstr("did you mean 'ByteLevel'?")));
  EXPECT_THAT(message(R"({"type": "WhitespaceSplit", "odd": 1})"),
              testing::HasSubstr("\"odd\" is not known"));
  EXPECT_THAT(message(R"({"type": "Sequence", "pretokenizers": [{"type": "Split"}]})"),
              testing::HasSubstr("pre_tokenizer.pretokenizers[0]"));
  EXPECT_THAT(message(R"({"type": "Digits", "individual_digits": "yes"})"),
              testing::HasSubstr("true or false"));
}

}  // namespace
}  // namespace attar
