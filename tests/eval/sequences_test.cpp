// Which ids of a text are predicted from which, by protocol.
#include "eval/sequences.h"

#include <gtest/gtest.h>

#include <numeric>

namespace attar::eval {
namespace {

/// What lm-evaluation-harness does, written down from its description: (ids read, ids predicted).
std::vector<std::pair<std::vector<int32_t>, std::vector<int32_t>>> rolling_pairs(
    const std::vector<int32_t>& tokens, int32_t prefix, int64_t most) {
  std::vector<std::pair<std::vector<int32_t>, std::vector<int32_t>>> pairs;
  const auto length = std::ssize(tokens);
  const auto part = [&](int64_t from, int64_t to) {
    return std::vector<int32_t>(tokens.begin() + from, tokens.begin() + to);
  };
  int64_t predicted = std::min(most, length);
  auto first = part(0, predicted - 1);
  first.insert(first.begin(), prefix);
  pairs.push_back({first, part(0, predicted)});
  while (predicted < length) {
    const int64_t count = std::min(length - predicted, most);
    const int64_t end = predicted + count;
    pairs.push_back({part(end - most - 1, end - 1), part(end - count, end)});
    predicted = end;
  }
  return pairs;
}

std::vector<int32_t> numbers(int64_t count) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), 100);
  return ids;
}

TEST(Rolling, ReadsAndPredictsWhatTheHarnessDoes) {
  for (const int64_t length : {1, 2, 4, 5, 6, 9, 10, 11, 23})
    for (const int64_t most : {1, 2, 5, 10}) {
      const auto tokens = numbers(length);
      const Sequences set = rolling({tokens}, 7, most);
      const auto pairs = rolling_pairs(tokens, 7, most);
      ASSERT_EQ(set.units(), 1);
      ASSERT_EQ(set.list.size(), pairs.size()) << length << " by " << most;
      for (size_t i = 0; i < pairs.size(); ++i) {
        const auto ids = set.at(set.list[i]);
        const std::vector<int32_t> read(ids.begin(), ids.end() - 1);
        const std::vector<int32_t> predicted(ids.end() - set.list[i].predictions(), ids.end());
        EXPECT_EQ(read, pairs[i].first);
        EXPECT_EQ(predicted, pairs[i].second);
      }
      EXPECT_EQ(set.count(), length);
    }
}

TEST(Rolling, KeepsDocumentsApartEvenEmptyOnes) {
  const Sequences set = rolling({numbers(3), {}, numbers(8)}, 7, 5);
  EXPECT_EQ(set.units(), 3);
  EXPECT_EQ(set.starts, (std::vector<int64_t>{0, 1, 1, 3}));
  EXPECT_EQ(set.count(), 11);
}

TEST(SecondHalves, PredictAfterTheMiddleAndBeginWithBos) {
  TokenWindows windows;
  windows.window = 8;
  windows.ids = numbers(16);
  const Sequences set = second_halves(windows, 1);
  ASSERT_EQ(set.units(), 2);
  // llama-perplexity with a context of 8: logits 4, 5, 6 predict ids 5, 6, 7.
  EXPECT_EQ(set.list[0].first, 4);
  EXPECT_EQ(set.list[0].predictions(), 3);
  EXPECT_EQ(set.ids[0], 1);
  EXPECT_EQ(set.ids[8], 1);
  EXPECT_EQ(set.ids[9], 109);
  EXPECT_EQ(second_halves(windows, {}).ids, windows.ids);
}

TEST(TextSize, CountsWordsAsARegularExpressionParts) {
  // len(re.split(r"\s+", text)) of Python, whose results stand here.
  EXPECT_EQ(text_size("").words, 1);
  EXPECT_EQ(text_size("one two").words, 2);
  EXPECT_EQ(text_size(" one \n\n two\t").words, 4);
  EXPECT_EQ(text_size("a\u00a0b\u2003c\x1c"
                      "d")
                .words,
            4);
  EXPECT_EQ(text_size("naïve").words, 1);
  EXPECT_EQ(text_size("naïve").bytes, 6);
}

}  // namespace
}  // namespace attar::eval
