#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "compress/base/error.h"
#include "compress/base/hash.h"
#include "compress/base/nearest.h"
#include "compress/base/random.h"

namespace attar {
namespace {

TEST(Error, BlockHasWhatWhereHint) {
  EXPECT_EQ(bad_input("no such file", "a.txt", "check the path").block(),
            "error: no such file\n  where: a.txt\n  hint:  check the path\n");
  EXPECT_EQ(failure("disk full").block(), "error: disk full\n");
  EXPECT_EQ(bad_input("x").code(), ExitCode::bad_input);
  EXPECT_EQ(failure("x").code(), ExitCode::failed);
}

TEST(Hash, KnownDigests) {  // FIPS 180-4 examples
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256().update("a").update("bc").hex(), sha256("abc"));
}

TEST(Nearest, FindsTheMisspeltName) {
  const std::vector<std::string> names = {"quantize", "prune", "distill", "group_size"};
  EXPECT_EQ(nearest("quantise", names), "quantize");
  EXPECT_EQ(nearest("prnue", names), "prune");
  EXPECT_EQ(nearest("groupsize", names), "group_size");
  EXPECT_EQ(nearest("zzzzzzzz", names), "");
  EXPECT_EQ(suggest("prnue", names), "did you mean 'prune'?");
  EXPECT_EQ(suggest("zzzzzzzz", names), "known: quantize, prune, distill, group_size");
}

TEST(Random, StreamIsFixedForever) {  // SplitMix64 with seed 0: reference sequence
  Random random(0);
  EXPECT_EQ(random.next(), 0xe220a8397b1dcdafull);
  EXPECT_EQ(random.next(), 0x6e789e6aa1b965f4ull);
  EXPECT_EQ(random.next(), 0x06c45d188009454full);
}

TEST(Random, DrawsStayInRangeAndResume) {
  Random random(7);
  double sum = 0, squares = 0;
  for (int i = 0; i < 100000; ++i) {
    EXPECT_LT(random.below(10), 10u);
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1, 0.03);
  Random resumed(random.state());
  EXPECT_EQ(resumed.next(), random.next());
  std::vector<int> items(100);
  for (int i = 0; i < 100; ++i) items[static_cast<size_t>(i)] = i;
  random.shuffle(items);
  EXPECT_EQ(std::set<int>(items.begin(), items.end()).size(), 100u);
  EXPECT_NE(items[0] + items[1] + items[2], 3);
}

}  // namespace
}  // namespace attar
