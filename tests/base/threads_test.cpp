#include "compress/base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace attar {
namespace {

class Threads : public ::testing::TestWithParam<int> {
 protected:
  void SetUp() override { set_thread_count(GetParam()); }
  void TearDown() override { set_thread_count(2); }
};

TEST_P(Threads, EveryIndexIsVisitedOnce) {
  for (const int64_t count : {0, 1, 2, 7, 1000}) {
    for (const int64_t grain : {1, 3, 1000}) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
      parallel_for(count, grain, [&](int64_t begin, int64_t end) {
        EXPECT_LE(end - begin, grain);
        for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
      });
      for (const auto& times : seen) EXPECT_EQ(times, 1);
    }
  }
}

TEST_P(Threads, FirstExceptionReachesTheCaller) {
  EXPECT_THROW(parallel_for(100, 1,
                            [](int64_t begin, int64_t) {
                              if (begin == 40) throw std::runtime_error("forty");
                            }),
               std::runtime_error);
  std::atomic<int> visited = 0;  // and the pool still works
  parallel_for(10, 1, [&](int64_t, int64_t) { ++visited; });
  EXPECT_EQ(visited, 10);
}

TEST_P(Threads, NestedLoopsRun) {
  std::atomic<int> visited = 0;
  parallel_for(4, 1,
               [&](int64_t, int64_t) { parallel_for(5, 1, [&](int64_t, int64_t) { ++visited; }); });
  EXPECT_EQ(visited, 20);
}

TEST_P(Threads, ManyShortLoops) {
  std::atomic<int64_t> sum = 0;
  for (int round = 0; round < 2000; ++round)
    parallel_for(4, 1, [&](int64_t begin, int64_t) { sum += begin; });
  EXPECT_EQ(sum, 2000 * 6);
}

INSTANTIATE_TEST_SUITE_P(Counts, Threads, ::testing::Values(1, 2, 5));

}  // namespace
}  // namespace attar
