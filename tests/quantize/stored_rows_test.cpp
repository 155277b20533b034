#include "quantize/stored_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "compress/base/random.h"
#include "compress/base/threads.h"

namespace attar {
namespace {

TEST(StoredRows, GivesBackWithinItsErrorForAnyShapeAndThreads) {
  Random random(3);
  StoredRows stored;
  for (const int64_t cols : {1, 127, 128, 300}) {
    const int64_t rows = 70;
    std::vector<float> x(static_cast<size_t>(rows * cols)), first, back(x.size());
    for (float& value : x) value = static_cast<float>(random.normal() * 100);
    x[0] = 0;
    for (const int threads : {1, 3}) {
      set_thread_count(threads);
      stored.resize(rows, cols);
      stored.put(0, 30, x.data());
      stored.put(30, 40, x.data() + 30 * cols);
      stored.get(0, rows, back.data());
      if (first.empty()) first = back;
      EXPECT_EQ(back, first);
    }
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t s = 0; s < cols; s += 128) {
        const auto begin = x.begin() + row * cols + s;
        float largest = 0;
        for (int64_t i = 0; i < std::min<int64_t>(128, cols - s); ++i)
          largest = std::max(largest, std::abs(begin[i]));
        for (int64_t i = 0; i < std::min<int64_t>(128, cols - s); ++i)
          ASSERT_NEAR(back[static_cast<size_t>(row * cols + s + i)], begin[i],
                      largest * 1.01f / 65536);
      }
  }
}

TEST(StoredRows, ShowsWhatIsNotFinite) {
  std::vector<float> x(256, 1.0f), back(256);
  x[130] = std::numeric_limits<float>::infinity();
  StoredRows stored;
  stored.resize(1, 256);
  stored.put(0, 1, x.data());
  stored.get(0, 1, back.data());
  EXPECT_FLOAT_EQ(back[127], 1);
  EXPECT_TRUE(std::isnan(back[128]));
}

}  // namespace
}  // namespace attar
