// Texts with labels: what is read, which label is meant, and what is refused with its line.
#include "compress/data/labelled.h"

#include <gmock/gmock.h>

#include "compress/data/dataset.h"
#include "tests/data/scratch.h"

namespace attar {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_data::error_of;

class Labelled : public testing_data::Scratch {
 protected:
  static std::string load_error(const DataSpec& data, bool needs_label = true) {
    return error_of([&] { load_labelled(data, needs_label, 0); });
  }
};

TEST_F(Labelled, ReadsEveryFormat) {
  DataSpec csv = file("a.csv", "text,category\n\"a, b\",x\n\"two\nlines\",y\n");
  csv.label = "category";
  const auto rows = load_labelled(csv, true, 0);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].text, "a, b");
  EXPECT_EQ(rows[1].label, "y");
  EXPECT_THAT(rows[1].where, HasSubstr("a.csv:3"));
  EXPECT_FALSE(rows[0].second);

  DataSpec tsv = file("b.tsv", "sentence\tlabel\nfine \t1\n");
  tsv.field = "sentence";
  EXPECT_EQ(load_labelled(tsv, true, 0)[0].text, "fine ");

  DataSpec pairs = file("c.jsonl", R"({"a": "x", "b": "y", "score": 0.5})"
                                   "\n\n"
                                   R"({"a": "z", "b": "", "score": "1"})");
  pairs.field = "a";
  pairs.pair = "b";
  pairs.label = "score";
  const auto scored = load_labelled(pairs, true, 0);
  ASSERT_EQ(scored.size(), 2u);
  EXPECT_EQ(*scored[0].second, "y");
  EXPECT_EQ(scored[0].label, "0.5");
  EXPECT_EQ(*scored[1].second, "");
  EXPECT_THAT(scored[1].where, HasSubstr("c.jsonl:3"));
}

TEST_F(Labelled, ALabelMayBeAbsentWhereNoneIsNeeded) {
  const DataSpec data = file("a.csv", "text\nx\n");
  EXPECT_EQ(load_labelled(data, false, 0)[0].label, "");
  EXPECT_THAT(load_error(data), HasSubstr("no column \"label\""));
  DataSpec named = data;
  named.label = "kind";
  EXPECT_THAT(load_error(named, false), HasSubstr("no column \"kind\""));
}

TEST_F(Labelled, RefusesOtherFormatsAndBadRows) {
  EXPECT_THAT(load_error(file("a.txt", "x\n")), HasSubstr("use jsonl, csv or tsv"));
  EXPECT_THAT(load_error(file("a.csv", "text,label\n")), HasSubstr("no rows"));
  EXPECT_THAT(load_error(file("b.csv", "text,label\nx\n")), HasSubstr("b.csv:2"));
  EXPECT_THAT(load_error(file("a.jsonl", R"({"text": 3, "label": 1})")),
              HasSubstr("\"text\" is not a text"));
  EXPECT_THAT(load_error(file("b.jsonl", R"({"text": "x", "label": [1]})")),
              HasSubstr("\"label\" is not a text"));
  EXPECT_THAT(load_error(file("c.jsonl", R"({"text": "x", "labl": 1})")),
              HasSubstr("did you mean 'labl'?"));
}

TEST_F(Labelled, DrawsRowsInTheirOrder) {
  std::string text = "text,label\n";
  for (int i = 0; i < 50; ++i) text += std::to_string(i) + ",a\n";
  DataSpec data = file("a.csv", text);
  data.samples = 10;
  const auto rows = load_labelled(data, true, 7);
  ASSERT_EQ(rows.size(), 10u);
  for (size_t i = 1; i < rows.size(); ++i)
    EXPECT_LT(std::stoi(rows[i - 1].text), std::stoi(rows[i].text));
  EXPECT_NE(load_labelled(data, true, 8)[0].text + load_labelled(data, true, 8)[1].text,
            rows[0].text + rows[1].text);
  data.samples = {};
  data.skip = 0.9;
  EXPECT_EQ(load_labelled(data, true, 0)[0].text, "45");
}

std::vector<LabelledText> with_labels(const std::vector<std::string>& labels) {
  std::vector<LabelledText> rows;
  for (const auto& label : labels)
    rows.push_back({"t", {}, label, "f:" + std::to_string(rows.size())});
  return rows;
}

TEST_F(Labelled, LabelsAreNamesOrNumbers) {
  EXPECT_THAT(label_indices(with_labels({"no", "yes"}), {"yes", "no"}).index, ElementsAre(1, 0));
  const auto numbers = label_indices(with_labels({"1", "0"}), {"NEGATIVE", "POSITIVE"});
  EXPECT_TRUE(numbers.by_number);
  EXPECT_THAT(numbers.index, ElementsAre(1, 0));
  // Names that look like numbers are names.
  const auto names = label_indices(with_labels({"1", "0"}), {"1", "0"});
  EXPECT_FALSE(names.by_number);
  EXPECT_THAT(names.index, ElementsAre(0, 1));

  const auto refused = [](const std::vector<std::string>& rows,
                          const std::vector<std::string>& labels) {
    return error_of([&] { label_indices(with_labels(rows), labels); });
  };
  EXPECT_THAT(refused({"yes", "noo"}, {"yes", "no"}),
              HasSubstr("\"noo\" is none of the model's 2"));
  EXPECT_THAT(refused({"yes", "noo"}, {"yes", "no"}), HasSubstr("f:1"));
  EXPECT_THAT(refused({"0", "2"}, {"yes", "no"}), HasSubstr("the label 2"));
  EXPECT_THAT(refused({"yes", "1"}, {"yes", "no"}), HasSubstr("\"1\" is none"));
  EXPECT_THAT(refused({"yes"}, {"yes", "yes"}), HasSubstr("two labels \"yes\""));
  EXPECT_THAT(distinct_labels(with_labels({"10", "9", "10"})), ElementsAre("9", "10"));
  EXPECT_THAT(distinct_labels(with_labels({"b", "a", "10"})), ElementsAre("10", "a", "b"));
}

class TextWindows : public testing_data::Scratch {
 protected:
  std::shared_ptr<const Tokenizer> tokenizer_ =
      Tokenizer::load(fs::path(ATTAR_SOURCE_DIR) / "tests/golden/tokenizers/bert_wordpiece");
  int64_t vocab() const { return tokenizer_->vocab_size(); }
};

TEST_F(TextWindows, AreSingleTextsWithTheirSpecialTokens) {
  const auto windows =
      text_windows(file("a.txt", "the first\n\nand a longer one\n"), *tokenizer_, 48, vocab(), 0);
  ASSERT_EQ(windows.count(), 2);
  const auto first = tokenizer_->encode("the first"),
             second = tokenizer_->encode("and a longer one");
  EXPECT_TRUE(std::ranges::equal(windows.at(0), first));
  EXPECT_TRUE(std::ranges::equal(windows.at(1), second));
  EXPECT_EQ(windows.window, std::ssize(second));
  EXPECT_EQ(windows.facts.dropped_tokens, 0);
}

TEST_F(TextWindows, ReadPairsWithTheirTypes) {
  DataSpec data = file("a.tsv", "text\tother\none\ttwo\n");
  data.pair = "other";
  const auto windows = text_windows(data, *tokenizer_, 48, vocab(), 0);
  const auto pair = tokenizer_->encode_text("one", "two", 48);
  EXPECT_EQ(windows.ids, pair.ids);
  EXPECT_EQ(windows.types, pair.types);
  EXPECT_EQ(windows.types.front(), 0);
  EXPECT_EQ(windows.types.back(), 1);
}

TEST_F(TextWindows, CutOnlyWhereALengthAsksForIt) {
  DataSpec data = file("a.txt", "the quick brown fox jumps over the lazy dog\n");
  EXPECT_THAT(error_of([&] { text_windows(data, *tokenizer_, 5, vocab(), 0); }),
              HasSubstr("and the model takes 5"));
  data.length = 5;
  const auto windows = text_windows(data, *tokenizer_, 48, vocab(), 0);
  EXPECT_EQ(windows.ids.size(), 5u);
  EXPECT_EQ(windows.ids.back(), tokenizer_->encode("x").back());  // [SEP] stays
  EXPECT_GT(windows.facts.dropped_tokens, 0);
  EXPECT_THAT(error_of([&] { text_windows(data, *tokenizer_, 48, 3, 0); }),
              HasSubstr("the model's vocabulary ends at 2"));
}

}  // namespace
}  // namespace attar
