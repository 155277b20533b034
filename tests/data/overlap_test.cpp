#include "compress/data/overlap.h"

#include <gtest/gtest.h>

#include <numeric>

#include "compress/base/random.h"

namespace attar {
namespace {

TokenWindows windows_of(std::vector<int32_t> ids, int64_t window) {
  TokenWindows windows;
  windows.window = window;
  windows.ids = std::move(ids);
  return windows;
}

std::vector<int32_t> random_ids(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random.below(1000));
  return ids;
}

TEST(Overlap, CountsTokensOfSharedRunsOnce) {
  auto ids = random_ids(400, 1);
  const auto other = random_ids(300, 2);
  std::copy_n(other.begin() + 17, 40, ids.begin() + 5);     // a run of 40 in the first window
  std::copy_n(other.begin() + 117, 31, ids.begin() + 150);  // one too short
  std::copy_n(other.begin() + 201, 60, ids.begin() + 170);  // 30 on either side of a window's end
  const Overlap overlap = find_overlap(windows_of(ids, 200), windows_of(other, 100));
  EXPECT_EQ(overlap.tokens, 400);
  EXPECT_EQ(overlap.shared, 40);
  EXPECT_EQ(overlap.repeated, 0);
}

TEST(Overlap, IsWholeForTheSameText) {
  const auto ids = random_ids(512, 3);
  const auto windows = windows_of(ids, 64);
  const Overlap overlap = find_overlap(windows, windows);
  EXPECT_EQ(overlap.shared, 512);
  EXPECT_DOUBLE_EQ(overlap.share(), 1);
}

TEST(Overlap, CountsRepeatedWindowsAndTakesShortAndEmptyOnes) {
  std::vector<int32_t> ids(96, 7);
  EXPECT_EQ(find_overlap(windows_of(ids, 32), windows_of(random_ids(64, 4), 64)).repeated, 2);
  EXPECT_EQ(find_overlap(windows_of(ids, 32), {}).shared, 0);
  EXPECT_EQ(find_overlap({}, windows_of(ids, 32)).tokens, 0);
  EXPECT_EQ(find_overlap(windows_of(ids, 16), windows_of(ids, 16)).shared,
            0);  // shorter than a run
}

}  // namespace
}  // namespace attar
