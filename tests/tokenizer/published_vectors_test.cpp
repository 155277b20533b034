// Real vocabularies against ids published by llama.cpp, where they lie beside the source tree.
#include <gtest/gtest.h>

#include <sstream>

#include "compress/tokenizer/tokenizer.h"

namespace attar {
namespace {

const fs::path kTokenizers = fs::path(ATTAR_SOURCE_DIR) / "../shared/tokenizers";

/// The pieces between `separator`s.
std::vector<std::string> parts(const std::string& text, const std::string& separator) {
  std::vector<std::string> result;
  size_t at = 0;
  for (size_t found; (found = text.find(separator, at)) != std::string::npos;
       at = found + separator.size())
    result.push_back(text.substr(at, found - at));
  result.push_back(text.substr(at));
  return result;
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
  const fs::path model = kTokenizers / GetParam().directory;
  const fs::path base =
      kTokenizers / "llama.cpp-vectors" / (std::string("ggml-vocab-") + GetParam().name + ".gguf");
  if (!fs::exists(model) || !fs::exists(base.string() + ".inp"))
    GTEST_SKIP() << "needs " << model << " and " << base << ".inp";
  const auto tokenizer = Tokenizer::load(model);
  const auto texts = parts(read_text(base.string() + ".inp"), "\n__ggml_vocab_test__\n");
  const auto lines = parts(read_text(base.string() + ".out"), "\n");
  ASSERT_GE(texts.size(), 46u);
  ASSERT_EQ(texts.size(), lines.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    SCOPED_TRACE(texts[i]);
    std::vector<int32_t> expected;
    std::istringstream numbers(lines[i]);
    for (int32_t id; numbers >> id;) expected.push_back(id);
    EXPECT_EQ(tokenizer->encode(texts[i], false), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Published,
                         testing::Values(Vectors{"llama3", "llama-bpe"},
                                         Vectors{"llama2", "llama-spm"}, Vectors{"gpt2", "gpt-2"},
                                         Vectors{"phi-3-mini", "phi-3"}, Vectors{"qwen", "qwen2"},
                                         Vectors{"bert-base-uncased-all-MiniLM-L6-v2",
                                                 "bert-bge"}));

}  // namespace
}  // namespace attar
