// Real vocabularies against published ids: as tokenizer.json, as GGUF, and as the formats that can
// be made from these.
#include <gtest/gtest.h>

#include "compress/tokenizer/base64.h"
#include "compress/tokenizer/components.h"
#include "compress/tokenizer/tokenizer.h"
#include "compress/tokenizer/unicode.h"
#include "tests/tokenizer/published_vectors.h"

namespace attar {
namespace {

using testing_vectors::gguf_path;
using testing_vectors::published;
using testing_vectors::tokenizers;

void expect_equal(const Tokenizer& tokenizer, const std::string& name) {
  const auto cases = published(name);
  ASSERT_GE(cases->size(), 46u);
  for (const auto& item : *cases) {
    SCOPED_TRACE(item.text);
    EXPECT_EQ(tokenizer.encode(item.text, false), item.ids);
  }
}

struct Vectors {
  const char* directory;
  const char* name;
};
std::ostream& operator<<(std::ostream& out, const Vectors& vectors) {
  return out << vectors.name;
}

class Published : public testing::TestWithParam<Vectors> {};

TEST_P(Published, IdsAreEqual) {
  const fs::path model = tokenizers() / GetParam().directory;
  if (!fs::exists(model) || !published(GetParam().name))
    GTEST_SKIP() << "needs " << model << " and the vectors of " << GetParam().name;
  expect_equal(*Tokenizer::load(model), GetParam().name);
}

INSTANTIATE_TEST_SUITE_P(All, Published,
                         testing::Values(Vectors{"llama3", "llama-bpe"},
                                         Vectors{"llama2", "llama-spm"}, Vectors{"gpt2", "gpt-2"},
                                         Vectors{"phi-3-mini", "phi-3"}, Vectors{"qwen", "qwen2"},
                                         Vectors{"bert-base-uncased-all-MiniLM-L6-v2",
                                                 "bert-bge"}));

class PublishedGguf : public testing::TestWithParam<const char*> {};

TEST_P(PublishedGguf, IdsAreEqual) {
  const fs::path file = gguf_path(GetParam());
  if (!fs::exists(file)) GTEST_SKIP() << "needs " << file;
  const auto tokenizer = Tokenizer::load(file);
  expect_equal(*tokenizer, GetParam());
  if (std::string(GetParam()) == "bert-bge") return;  // forgets spaces and capitals
  for (const char* text : {"Hello world, it's 12 o'clock", "größer 漢字 🦙", " x\n\ty"})
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, false)), text);
}

INSTANTIATE_TEST_SUITE_P(All, PublishedGguf,
                         testing::Values("llama-spm", "phi-3", "gpt-2", "bert-bge"));

/// What a vocabulary puts around a text is in the file as well.
TEST(PublishedGguf, SpecialTokens) {
  if (!fs::exists(gguf_path("bert-bge"))) GTEST_SKIP() << "needs " << gguf_path("bert-bge");
  const auto bert = Tokenizer::load(gguf_path("bert-bge"));
  EXPECT_EQ(bert->encode("hello"), (std::vector<int32_t>{101, 7592, 102}));
  EXPECT_EQ(bert->token(7592), "hello");
  const auto llama = Tokenizer::load(gguf_path("llama-spm"));
  EXPECT_EQ(llama->encode("Hello"), (std::vector<int32_t>{1, 15043}));
  EXPECT_EQ(llama->encode("Hello</s>Hello"), (std::vector<int32_t>{1, 15043, 2, 15043}));
  EXPECT_EQ(llama->eos(), 2);
}

class Plain : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) / "published_vectors_plain";
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }
  void copy(const fs::path& file) { fs::copy_file(file, directory_ / file.filename()); }
  fs::path directory_;
};

TEST_F(Plain, VocabularyAndMerges) {
  if (!fs::exists(tokenizers() / "gpt2/vocab.json") || !published("gpt-2"))
    GTEST_SKIP() << "needs " << tokenizers() / "gpt2";
  copy(tokenizers() / "gpt2/vocab.json");
  copy(tokenizers() / "gpt2/merges.txt");
  const auto tokenizer = Tokenizer::load(directory_);
  expect_equal(*tokenizer, "gpt-2");
  EXPECT_EQ(tokenizer->encode("a<|endoftext|>"), (std::vector<int32_t>{64, 50256}));
}

TEST_F(Plain, VocabularyText) {
  const fs::path bert = tokenizers() / "bert-base-uncased-all-MiniLM-L6-v2/vocab.txt";
  if (!fs::exists(bert) || !published("bert-bge")) GTEST_SKIP() << "needs " << bert;
  copy(bert);
  const auto tokenizer = Tokenizer::load(directory_);
  expect_equal(*tokenizer, "bert-bge");
  EXPECT_EQ(tokenizer->encode("hello"), (std::vector<int32_t>{101, 7592, 102}));
}

/// Base64 (RFC 4648).
std::string base64(std::string_view bytes) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; ++i)
      bits = bits << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0u);
    for (size_t i = 0; i < 4; ++i)
      text += i <= bytes.size() - at ? kLetters[bits >> (18 - 6 * i) & 63] : '=';
  }
  return text;
}

/// A tiktoken file made of a byte-level vocabulary, whose ids are ranks.
void write_tiktoken(const Tokenizer& tokenizer, int32_t count, const fs::path& file) {
  std::string lines;
  for (int32_t id = 0; id < count; ++id) {
    const std::string token = tokenizer.token(id);
    std::string bytes;
    for (size_t at = 0; at < token.size();)
      bytes += static_cast<char>(byte_of_character(next_character(token, at)));
    lines += base64(bytes) + " " + std::to_string(id) + "\n";
  }
  write_file(file, lines);
}

TEST_F(Plain, Tiktoken) {
  struct Row {
    const char *directory, *name, *file;
    int32_t count;
  };
  for (const Row& row : {Row{"gpt2", "gpt-2", "r50k_base.tiktoken", 50256},
                         Row{"llama3", "llama-bpe", "tokenizer.model", 128000},
                         Row{"qwen", "qwen2", "qwen.tiktoken", 151643}}) {
    SCOPED_TRACE(row.name);
    if (!fs::exists(tokenizers() / row.directory) || !published(row.name))
      GTEST_SKIP() << "needs " << tokenizers() / row.directory;
    const auto original = Tokenizer::load(tokenizers() / row.directory);
    write_tiktoken(*original, row.count, directory_ / row.file);
    const auto tokenizer = Tokenizer::load(directory_ / row.file);
    expect_equal(*tokenizer, row.name);
    for (const char* text : {"<|endoftext|>x", "<|begin_of_text|><|eot_id|>", "it's <|im_end|>"})
      EXPECT_EQ(tokenizer->encode(text), original->encode(text)) << text;
  }
}

}  // namespace
}  // namespace attar
