// Tokenizers in files of other kinds than tokenizer.json: small ones, the order in which a
// directory is searched, mistakes.
#include <gmock/gmock.h>

#include <thread>

#include "compress/base/error.h"
#include "compress/tokenizer/base64.h"
#include "compress/tokenizer/gguf_vocabulary.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Base64, DecodesAndRefuses) {
  EXPECT_EQ(decode_base64(""), "");
  EXPECT_EQ(decode_base64("Zg=="), "f");
  EXPECT_EQ(decode_base64("Zm8="), "fo");
  EXPECT_EQ(decode_base64("Zm9v+/8="), "foo\xfb\xff");
  for (const char* bad : {"Zg", "Zg=", "Z===", "Zh==", "Zm9*", "=Zg=", "Zg==Zg=="})
    EXPECT_FALSE(decode_base64(bad)) << bad;
}

class OtherFiles : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) / "other_files_test";
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  void write(const char* name, const std::string& text) { write_file(directory_ / name, text); }
  std::string refused() {
    try {
      Tokenizer::load(directory_)->encode("ab");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      return error.block();
    }
    return "";
  }
  fs::path directory_;
};

constexpr const char* kTiktoken =
    "YQ== 0\nYg== 1\nIA== 2\nYWI= 3\nIGE= 4\n";  // a, b, " ", ab, " a"
constexpr const char* kBert = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##b\nb\n";
constexpr const char* kVocab = R"({"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3, "Ġ": 4})";

TEST_F(OtherFiles, TiktokenWithAPattern) {
  write("own.tiktoken", kTiktoken);
  EXPECT_THAT(refused(), AllOf(HasSubstr("cuts words"), HasSubstr("cl100k_base")));
  write("tokenizer_config.json", R"({"pat_str": " ?[a-z]+", "added_tokens_decoder":
        {"5": {"content": "<x>", "special": true}}})");
  const auto tokenizer = Tokenizer::load(directory_);
  EXPECT_THAT(tokenizer->encode("ab ab<x>"), ElementsAre(3, 2, 3, 5));
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{3, 2, 3, 4, 5}), "ab ab a<x>");
  EXPECT_TRUE(tokenizer->is_special(5));
}

TEST_F(OtherFiles, TiktokenMistakes) {
  for (const auto& [lines, what] : std::vector<std::pair<const char*, const char*>>{
           {"YQ== 0\nYQ=\n", ":2"},
           {"YQ== 1\nYg== 0\n", "the rank 0 stands where"},
           {"YQ== 0\nYQ== 1\n", "appears twice"},
           {"YQ== x\n", "base64"},
           {"YQ== 99999999\n", "the rank 99999999"},
           {"", "no tokens"}}) {
    write("cl100k_base.tiktoken", lines);
    EXPECT_THAT(refused(), HasSubstr(what));
  }
  write("p50k_base.tiktoken", kTiktoken);
  EXPECT_THAT(refused(), HasSubstr("two files end in .tiktoken"));
}

TEST_F(OtherFiles, BertText) {
  write("vocab.txt", kBert);
  EXPECT_THAT(Tokenizer::load(directory_)->encode("Ab [MASK] x"), ElementsAre(2, 5, 6, 4, 1, 3));
  write("tokenizer_config.json",
        R"({"do_lower_case": false, "tokenizer_class": "BertTokenizerFast"})");
  EXPECT_THAT(Tokenizer::load(directory_)->encode("Ab b", false), ElementsAre(1, 7));
  write("tokenizer_config.json", R"({"tokenizer_class": "MPNetTokenizer"})");
  EXPECT_THAT(refused(), HasSubstr("MPNetTokenizer"));
  write("tokenizer_config.json", R"({"cls_token": "<s>"})");
  EXPECT_THAT(refused(), HasSubstr("\"<s>\" is not in the vocabulary"));
}

TEST_F(OtherFiles, VocabularyAndMerges) {
  write("vocab.json", kVocab);
  EXPECT_THAT(refused(), HasSubstr("no tokenizer"));
  write("merges.txt", "#version: 0.2\na b\n");
  EXPECT_THAT(Tokenizer::load(directory_)->encode("ab ba<|endoftext|>"),
              ElementsAre(2, 4, 1, 0, 3));
  write("tokenizer_config.json", R"({"tokenizer_class": "CLIPTokenizer"})");
  EXPECT_THAT(refused(), HasSubstr("CLIPTokenizer"));
  write("tokenizer_config.json", R"({"add_prefix_space": true})");
  EXPECT_THAT(Tokenizer::load(directory_)->encode("ab"), ElementsAre(4, 2));
  write("merges.txt", "a z\n");
  EXPECT_THAT(refused(), HasSubstr("needs the token \"z\""));
  write("vocab.json", R"({"a": 0, "b": 0})");
  EXPECT_THAT(refused(), HasSubstr("each once"));
}

TEST_F(OtherFiles, ADirectoryIsSearchedInOrder) {
  const auto size = [&] { return Tokenizer::load(directory_)->vocab_size(); };
  write("vocab.txt", kBert);
  EXPECT_EQ(size(), 8);
  write("vocab.json", kVocab);
  write("merges.txt", "a b\n");
  EXPECT_EQ(size(), 5);
  write("tokenizer.json", R"({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})");
  EXPECT_EQ(size(), 1);
}

GgufVocabulary small_bpe() {
  GgufVocabulary vocabulary;
  vocabulary.where = "here.gguf";
  vocabulary.model = "gpt2";
  vocabulary.pre = "gpt-2";
  vocabulary.tokens = {"a", "b", "ab", "Ġ", "<s>", "<u>", "1"};
  vocabulary.types = {1, 1, 1, 1, 3, 4, 1};
  vocabulary.merges = {"a b"};
  vocabulary.ids = {{"bos_token_id", 4}};
  return vocabulary;
}

TEST(GgufVocabulary, ByteLevel) {
  auto tokenizer = make_gguf_tokenizer(small_bpe());
  EXPECT_THAT(tokenizer->encode("ab ab<s><u>"), ElementsAre(2, 3, 2, 4, 5));
  EXPECT_TRUE(tokenizer->is_special(4));
  EXPECT_FALSE(tokenizer->is_special(5));
  EXPECT_EQ(tokenizer->bos(), 4);
  GgufVocabulary begun = small_bpe();
  begun.flags["add_bos_token"] = true;
  EXPECT_THAT(make_gguf_tokenizer(begun)->encode("a"), ElementsAre(4, 0));
  begun.flags.clear();
  begun.pre = "llama-bpe";  // adds it by itself
  EXPECT_THAT(make_gguf_tokenizer(begun)->encode("a"), ElementsAre(4, 0));
}

TEST(GgufVocabulary, RefusesMistakes) {
  const auto message = [](auto&& change) -> std::string {
    GgufVocabulary vocabulary = small_bpe();
    change(vocabulary);
    try {
      make_gguf_tokenizer(std::move(vocabulary));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      return error.block();
    }
    return "";
  };
  EXPECT_THAT(message([](auto& v) { v.pre = "qwen3"; }),
              AllOf(HasSubstr("pre-tokenizer \"qwen3\""), HasSubstr("did you mean 'qwen2'?")));
  EXPECT_THAT(message([](auto& v) { v.model = "rwkv"; }), HasSubstr("\"rwkv\" is not implemented"));
  EXPECT_THAT(message([](auto& v) { v.model = "llama"; }), HasSubstr("no scores"));
  EXPECT_THAT(message([](auto& v) { v.types.pop_back(); }), HasSubstr("6 entries for 7 tokens"));
  EXPECT_THAT(message([](auto& v) { v.types[0] = 0; }), HasSubstr("unknown type"));
  EXPECT_THAT(message([](auto& v) { v.tokens[0] = "\xff"; }), HasSubstr("UTF-8"));
  EXPECT_THAT(message([](auto& v) { v.tokens[0] = "b"; }), HasSubstr("appears twice"));
  EXPECT_THAT(message([](auto& v) { v.merges = {"a z"}; }), HasSubstr("\"z\""));
  EXPECT_THAT(message([](auto& v) { v.merges.clear(); }), HasSubstr("merges"));
  EXPECT_THAT(message([](auto& v) { v.ids["bos_token_id"] = 7; }), HasSubstr("outside"));
  EXPECT_THAT(message([](auto& v) { v.flags["add_eos_token"] = true; }), HasSubstr("EOS"));
  EXPECT_THAT(message([](auto& v) { v.tokens.clear(); }), HasSubstr("no tokens"));
}

TEST(WordCache, ServesSeveralTokenizersAndThreads) {
  const fs::path golden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden/tokenizers";
  const auto first = Tokenizer::load(golden / "gpt2_bytelevel");
  const auto second = Tokenizer::load(golden / "llama3_bytelevel");
  const std::string text = "the cat and the dog and the cat";
  const auto one = first->encode(text), two = second->encode(text);
  ASSERT_NE(one, two);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        EXPECT_EQ(first->encode(text), one);
        EXPECT_EQ(second->encode(text), two);
      }
    });
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace attar
