// SentencePiece models: ids recorded from SentencePiece itself (tests/golden/sentencepiece), models
// built here for the rules that those do not reach, and damaged ones.
#include <gmock/gmock.h>

#include <bit>
#include <nlohmann/json.hpp>

#include "compress/base/error.h"
#include "compress/base/random.h"
#include "compress/tokenizer/characters_map.h"
#include "compress/tokenizer/sentencepiece.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden/sentencepiece";

class Recorded : public testing::TestWithParam<const char*> {};

TEST_P(Recorded, IdsAreEqual) {
  const auto tokenizer = Tokenizer::load(kGolden / (std::string(GetParam()) + ".model"));
  const auto golden = nlohmann::json::parse(read_text(kGolden / "golden.json"))[GetParam()];
  ASSERT_EQ(golden.size(), 100u);
  for (const auto& item : golden) {
    const std::string text = item["text"];
    SCOPED_TRACE(text);
    EXPECT_EQ(tokenizer->encode(text), item["ids"].get<std::vector<int32_t>>());
  }
}

INSTANTIATE_TEST_SUITE_P(All, Recorded,
                         testing::Values("unigram_nmt_nfkc", "bpe_identity", "unigram_bytes"));

// The wire format, as far as models use it.

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 128; value >>= 7) bytes += static_cast<char>(value | 128);
  return bytes + static_cast<char>(value);
}
std::string number(int field, uint64_t value) {
  return varint(static_cast<uint64_t>(field) << 3) + varint(value);
}
std::string text(int field, std::string_view value) {
  return varint(static_cast<uint64_t>(field) << 3 | 2) + varint(value.size()) + std::string(value);
}
std::string real(int field, float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return varint(static_cast<uint64_t>(field) << 3 | 5) +
         std::string(reinterpret_cast<const char*>(&bits), 4);
}
std::string piece(std::string_view token, float score, int type = 1) {
  return text(1, text(1, token) + real(2, score) +
                     (type == 1 ? "" : number(3, static_cast<uint64_t>(type))));
}

constexpr int kUnigram = 1, kBpe = 2, kWord = 3;

class Built : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::path(testing::TempDir()) / "sentencepiece_built";
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    pieces_ = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("▁", -1) +
              piece("a", -2) + piece("b", -3) + piece("c", -4);
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string model(int type, const std::string& normalizer = "",
                    const std::string& trainer = "") const {
    return pieces_ + text(2, number(3, static_cast<uint64_t>(type)) + trainer) +
           text(3, normalizer);
  }
  std::shared_ptr<const Tokenizer> load(const std::string& bytes) {
    write_file(directory_ / "tokenizer.model", bytes);
    return Tokenizer::load(directory_);
  }
  std::string refused(const std::string& bytes) {
    try {
      load(bytes)->encode("abz");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      return error.block();
    }
    return "";
  }
  void configure(const std::string& json) {
    write_file(directory_ / "tokenizer_config.json", json);
  }

  fs::path directory_;
  std::string pieces_;
};

TEST_F(Built, BpeJoinsByScore) {
  pieces_ += piece("ab", -5) + piece("bc", -1.5f) + piece("abc", -9);  // 7, 8, 9
  EXPECT_THAT(load(model(kBpe))->encode("abc"), ElementsAre(3, 9));    // a + bc
  pieces_ += piece("cb", -1.5f);                                       // 10; ties go to the left
  EXPECT_THAT(load(model(kBpe))->encode("bcb"), ElementsAre(3, 8, 5));
  EXPECT_THAT(load(model(kBpe))->encode("xxa"), ElementsAre(3, 0, 4));  // a run of unknown ones
}

TEST_F(Built, BpeJoinsWhatIsNoPieceItself) {
  pieces_ += piece("ad", -5);  // 7; d is no piece
  EXPECT_THAT(load(model(kBpe))->encode("ad d"), ElementsAre(3, 7, 3, 0));
}

TEST_F(Built, UnusedPiecesFallApart) {
  pieces_ += piece("ab", -5, 5) + piece("abc", -6);  // 7 is unused
  EXPECT_THAT(load(model(kBpe))->encode("ab"), ElementsAre(3, 4, 5));
  EXPECT_THAT(load(model(kBpe))->encode("abc"), ElementsAre(3, 8));
  EXPECT_THAT(load(model(kUnigram))->encode("ab"), ElementsAre(3, 4, 5));
}

TEST_F(Built, BytesStandForUnknownCharacters) {
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    pieces_ += piece(name, 0, 6);
  }
  for (const int type : {kBpe, kUnigram}) {
    const auto tokenizer = load(model(type, "", number(35, 1)));
    EXPECT_THAT(tokenizer->encode("aé"), ElementsAre(3, 4, 7 + 0xc3, 7 + 0xa9));
    EXPECT_THAT(tokenizer->encode("<0xC3>"), testing::SizeIs(7));  // is text
    EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{3, 4, 7 + 0xc3, 7 + 0xa9}), "aé");
  }
}

TEST_F(Built, Spaces) {
  const auto spaces = [&](const std::string& normalizer, const std::string& trainer = "") {
    return load(model(kBpe, normalizer, trainer))->encode(" a  b ");
  };
  EXPECT_THAT(spaces(""), ElementsAre(3, 4, 3, 5));
  EXPECT_THAT(spaces(number(4, 0)), ElementsAre(3, 3, 4, 3, 3, 5, 3));
  EXPECT_THAT(spaces(number(3, 0) + number(4, 0)), ElementsAre(3, 4, 3, 3, 5, 3));
  EXPECT_THAT(spaces("", number(24, 1)), ElementsAre(4, 3, 5, 3));
}

TEST_F(Built, TheConfigurationSaysWhatGoesAround) {
  EXPECT_THAT(load(model(kBpe))->encode("a"), ElementsAre(3, 4));
  configure(R"({"tokenizer_class": "LlamaTokenizer"})");
  EXPECT_THAT(load(model(kBpe))->encode("a</s>b"), ElementsAre(1, 3, 4, 2, 3, 5));
  EXPECT_THAT(load(model(kBpe))->encode("a", false), ElementsAre(3, 4));
  EXPECT_EQ(load(model(kBpe))->bos(), 1);
  configure(R"({"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": false, "legacy": false,
                "add_eos_token": true, "eos_token": "</s>"})");
  EXPECT_THAT(load(model(kBpe))->encode("a</s>b"), ElementsAre(3, 4, 2, 5, 2));
  configure(R"({"tokenizer_class": "T5Tokenizer", "extra_ids": 2})");
  EXPECT_THAT(load(model(kUnigram))->encode("a<extra_id_0>"), ElementsAre(3, 4, 8, 2));
  configure(R"({"tokenizer_class": "LlamaTokenizer", "added_tokens_decoder":
                {"7": {"content": "<new>", "special": true}}})");
  EXPECT_THAT(load(model(kBpe))->encode("<new>"), ElementsAre(1, 7));
  configure(R"({"tokenizer_class": "XLMRobertaTokenizer"})");
  EXPECT_THAT(refused(model(kUnigram)), HasSubstr("\"XLMRobertaTokenizer\" is not known"));
}

TEST_F(Built, UserDefinedPiecesAreNeverCut) {
  pieces_ += piece("ba", -1, 4) + piece("ab", -1);  // 7, 8
  EXPECT_THAT(load(model(kBpe))->encode("aba"), ElementsAre(3, 4, 7));
  EXPECT_THAT(load(model(kUnigram))->encode("ba"), ElementsAre(3, 7));
  EXPECT_THAT(load(model(kUnigram))->encode("bab"), ElementsAre(3, 5, 8));  // worth 2 * -1 - 0.1
}

TEST_F(Built, RefusesMistakes) {
  EXPECT_THAT(refused(model(kWord)), HasSubstr("\"word\" is not implemented"));
  EXPECT_THAT(refused(model(9)), HasSubstr("model type 9"));
  const std::string good = model(kBpe);
  EXPECT_THAT(refused(good.substr(0, good.size() - 1)), HasSubstr("damaged"));
  EXPECT_THAT(refused("\x0a"), HasSubstr("byte 1"));
  EXPECT_THAT(refused(""), HasSubstr("no pieces"));
  EXPECT_THAT(refused(piece("a", 0)), HasSubstr("no unknown piece"));
  EXPECT_THAT(refused(pieces_ + piece("", 0)), HasSubstr("piece 7 has no text"));
  EXPECT_THAT(refused(pieces_ + piece("\xff", 0)), HasSubstr("UTF-8"));
  EXPECT_THAT(refused(pieces_ + piece("x", std::bit_cast<float>(0x7fc00000u))), HasSubstr("score"));
  EXPECT_THAT(refused(pieces_ + piece("x", 0, 9)), HasSubstr("type 9"));
  EXPECT_THAT(refused(pieces_ + piece("a", 0)), HasSubstr("appears twice"));
  EXPECT_THAT(refused(model(kBpe, text(2, "abcd"))), HasSubstr("character map is damaged"));
  EXPECT_THAT(refused(number(1, 7)), HasSubstr("neither text nor message"));
}

TEST_F(Built, DamagedFilesAreRefusedOrHarmless) {
  const std::string whole = read_text(kGolden / "bpe_identity.model");
  Random random(9);
  for (int i = 0; i < 300; ++i) {
    std::string bytes = whole;
    for (uint64_t flips = 1 + random.below(4); flips > 0; --flips)
      bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    if (random.below(4) == 0) bytes.resize(random.below(bytes.size()));
    try {
      const auto tokenizer = parse_sentencepiece(bytes, "here");
      EXPECT_EQ(tokenizer.lists.tokens.size(), tokenizer.lists.scores.size());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
    }
  }
}

TEST(CharactersMap, DamagedOnesStayInBounds) {
  std::string bytes = read_text(kGolden / "unigram_nmt_nfkc.model");
  const std::string map = parse_sentencepiece(bytes, "here").normalization.characters_map;
  ASSERT_GT(map.size(), 1000u);
  const CharactersMap good(map, "here");
  EXPECT_EQ(good.longest("ﬁx")->replacement, "fi");
  EXPECT_EQ(good.longest("ﬁx")->length, 3u);
  EXPECT_FALSE(good.longest("x"));
  Random random(10);
  for (int i = 0; i < 200; ++i) {
    std::string damaged = map;
    for (int flips = 0; flips < 2000; ++flips)
      damaged[4 + random.below(damaged.size() - 4)] = static_cast<char>(random.next());
    damaged.back() = '\0';
    try {
      const CharactersMap read(damaged, "here");
      for (const char* sample : {"ﬁ", "①", "abc", "ｶﾞ", "e\u0301"}) read.longest(sample);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
    }
  }
}

}  // namespace
}  // namespace attar
