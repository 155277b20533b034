// What a tokenizer.json may say beyond the components: added tokens, limits, odd models, mistakes.
#include <gmock/gmock.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "compress/base/error.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

class TokenizerFile : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("attar-tokenizer-" + std::to_string(::getpid()));
    fs::create_directories(directory_);
    json_ = json::parse(R"({"version": "1.0", "model": {"type": "BPE",
      "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, " ": 5, "<u>": 6, "é": 7},
      "merges": ["a b", ["ab", "c"]]}})");
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::shared_ptr<const Tokenizer> load() { return load(json_.dump()); }
  std::shared_ptr<const Tokenizer> load(const std::string& text) {
    write_file(directory_ / "tokenizer.json", text);
    return Tokenizer::load(directory_);
  }
  std::string refused() { return refused(json_.dump()); }
  std::string refused(const std::string& text) {
    try {
      load(text)->encode("abz");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      return error.block();
    }
    return "";
  }
  void add(const char* content, int id, const json& more) {
    json token = {{"content", content},  {"id", id},        {"special", false},
                  {"normalized", false}, {"lstrip", false}, {"rstrip", false},
                  {"single_word", false}};
    token.update(more);
    json_["added_tokens"].push_back(token);
  }

  fs::path directory_;
  json json_;
};

TEST_F(TokenizerFile, MergesInBothSpellings) {
  EXPECT_THAT(load()->encode("abcab"), ElementsAre(4, 3));
  json_["model"]["merges"] = json::array({"a b", "ab c"});
  const std::string hash = load()->hash();
  json_["model"]["merges"] = json::parse(R"([["a", "b"], ["ab", "c"]])");
  EXPECT_EQ(load()->hash(), hash);
  json_["model"]["merges"] = json::parse(R"([["a", "b"]])");
  EXPECT_NE(load()->hash(), hash);
}

TEST_F(TokenizerFile, UnknownCharacters) {
  EXPECT_THAT(load()->encode("axxb"),
              ElementsAre(3));  // as the reference: without unk_token they vanish
  json_["model"]["unk_token"] = "<u>";
  EXPECT_THAT(load()->encode("axxb"), ElementsAre(0, 6, 6, 1));
  json_["model"]["fuse_unk"] = true;
  EXPECT_THAT(load()->encode("axxb"), ElementsAre(0, 6, 1));
  json_["model"]["unk_token"] = "<absent>";
  EXPECT_THAT(refused(), HasSubstr("\"<absent>\" is not in the vocabulary"));
}

TEST_F(TokenizerFile, PrefixAndSuffix) {
  json_["model"] = json::parse(
      R"({"type": "BPE", "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>",
    "vocab": {"a": 0, "##b": 1, "##c</w>": 2, "##bc</w>": 3, "a</w>": 4}, "merges": ["##b ##c</w>"]})");
  EXPECT_THAT(load()->encode("abc"), ElementsAre(0, 3));
  EXPECT_THAT(load()->encode("a"), ElementsAre(4));
}

TEST_F(TokenizerFile, AddedTokensTakeTheLongestAndTheirSpaces) {
  add("<x>", 8, {{"special", true}});
  add("<x>y", 9, json::object());
  add("<l>", 10, {{"lstrip", true}, {"rstrip", true}});
  add("ab", 3, {{"single_word", true}});
  const auto tokenizer = load();
  EXPECT_THAT(tokenizer->encode("a<x>y<x>b"), ElementsAre(0, 9, 8, 1));
  EXPECT_THAT(tokenizer->encode("a  <l> \nb"), ElementsAre(0, 10, 1));
  EXPECT_THAT(tokenizer->encode("ab abc"), ElementsAre(3, 5, 4));
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{0, 8, 9}, true), "a <x>y");
  EXPECT_TRUE(tokenizer->is_special(8));
  EXPECT_FALSE(tokenizer->is_special(9));
  EXPECT_EQ(tokenizer->vocab_size(), 11);
  EXPECT_EQ(tokenizer->id_of("<x>y"), 9);
}

TEST_F(TokenizerFile, NormalizedAddedTokensAreFoundInNormalizedText) {
  json_["normalizer"] = {{"type", "Lowercase"}};
  add("AB C", 8, {{"normalized", true}});
  EXPECT_THAT(load()->encode("aAb cA"), ElementsAre(0, 8, 0));
}

TEST_F(TokenizerFile, TruncationAndPadding) {
  json_["post_processor"] = {{"type", "BertProcessing"}, {"cls", {"<u>", 6}}, {"sep", {"<u>", 6}}};
  json_["truncation"] = {
      {"direction", "Right"}, {"max_length", 4}, {"strategy", "LongestFirst"}, {"stride", 0}};
  EXPECT_THAT(load()->encode("cccc"), ElementsAre(6, 2, 2, 6));
  EXPECT_THAT(load()->encode("cccca", false), ElementsAre(2, 2, 2, 2));
  EXPECT_EQ(load()->length_limit(), 4);
  json_["truncation"]["direction"] = "Left";
  EXPECT_THAT(load()->encode("ccca"), ElementsAre(6, 2, 0, 6));
  json_["padding"] = {{"strategy", {{"Fixed", 5}}}, {"direction", "Left"},
                      {"pad_to_multiple_of", 3},    {"pad_id", 5},
                      {"pad_type_id", 0},           {"pad_token", " "}};
  EXPECT_THAT(load()->encode("a"), ElementsAre(5, 5, 5, 6, 0, 6));
}

TEST_F(TokenizerFile, BeginAndEndComeFromTheConfigOrTheTemplate) {
  json_["post_processor"] = {{"type", "BertProcessing"}, {"cls", {"a", 0}}, {"sep", {"b", 1}}};
  EXPECT_EQ(load()->bos(), 0);
  EXPECT_EQ(load()->eos(), 1);
  write_file(directory_ / "tokenizer_config.json",
             R"({"bos_token": null, "eos_token": {"content": "<u>"}})");
  EXPECT_EQ(load()->bos(), 0);
  EXPECT_EQ(load()->eos(), 6);
  write_file(directory_ / "tokenizer_config.json", R"({"eos_token": "</s>"})");
  EXPECT_THAT(refused(), HasSubstr("eos_token is \"</s>\""));
}

TEST_F(TokenizerFile, RefusesMistakes) {
  const auto with = [&](const char* pointer, const json& value) {
    json changed = json_;
    changed[json::json_pointer(pointer)] = value;
    return refused(changed.dump());
  };
  EXPECT_THAT(with("/model/dropout", 0.1), HasSubstr("dropout"));
  EXPECT_THAT(with("/model/merges/0", "a z"),
              HasSubstr("merge 0 (\"a\" and \"z\") needs the token \"z\""));
  EXPECT_THAT(with("/model/merges/0", "ab"), HasSubstr("not two tokens"));
  EXPECT_THAT(with("/model/merges/0", json::array({"a"})), HasSubstr("1 parts"));
  EXPECT_THAT(with("/model/vocab/b", 0), HasSubstr("two tokens have the id 0"));
  EXPECT_THAT(with("/model/vocab/b", -1), HasSubstr("outside"));
  EXPECT_THAT(with("/model/vocab/b", int64_t{1} << 40), HasSubstr("outside"));
  EXPECT_THAT(with("/model/vocab/b", "x"), HasSubstr("an integer is expected"));
  EXPECT_THAT(with("/model/type", "CharBPE"), HasSubstr("\"CharBPE\" is not implemented"));
  EXPECT_THAT(with("/model/new_key", 1), HasSubstr("\"new_key\" is not known"));
  EXPECT_THAT(with("/decoder", json{{"type", "CTC"}}), HasSubstr("decoder \"CTC\""));
  EXPECT_THAT(with("/normalizer", json{{"type", "Nmt"}}), HasSubstr("normalizer \"Nmt\""));
  EXPECT_THAT(with("/post_processor",
                   json{{"type", "BertProcessing"}, {"cls", {"x", 99}}, {"sep", {"b", 1}}}),
              HasSubstr("adds the id 99"));
  EXPECT_THAT(refused("{"), HasSubstr("tokenizer.json:1"));
  EXPECT_THAT(refused("{}"), HasSubstr("model.vocab"));
  EXPECT_THAT(refused("{\"model\":\n{\"vocab\": {\"a\": 0}, \"merges\": [tru"),
              HasSubstr("tokenizer.json:2"));
  EXPECT_THAT(refused("\xff"), HasSubstr("UTF-8"));
  fs::remove(directory_ / "tokenizer.json");
  EXPECT_THROW(Tokenizer::load(directory_), Error);
}

TEST_F(TokenizerFile, IdsAndTextsOutsideAreRefused) {
  const auto tokenizer = load();
  EXPECT_THROW(tokenizer->token(8), Error);
  EXPECT_THROW(tokenizer->decode(std::vector<int32_t>{0, -1}), Error);
  try {
    tokenizer->encode("ab\xc3(");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_THAT(error.block(), HasSubstr("byte 2"));
  }
}

}  // namespace
}  // namespace attar
