#include "quantize/rotation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace attar {
namespace {

TEST(Rotation, IsOrthogonalForAnyLength) {
  for (const size_t n : {1u, 2u, 6u, 64u, 96u, 576u}) {
    std::vector<float> signs(n);
    for (size_t i = 0; i < n; ++i) signs[i] = i % 3 == 0 ? -1.0f : 1.0f;
    std::vector<std::vector<float>> rows(n, std::vector<float>(n, 0.0f));
    for (size_t i = 0; i < n; ++i) {
      rows[i][i] = 1;
      rotate(rows[i], signs);
    }
    for (size_t i = 0; i < n; i += 1 + n / 16)
      for (size_t j = 0; j < n; ++j) {
        double dot = 0;
        for (size_t k = 0; k < n; ++k)
          dot += static_cast<double>(rows[i][k]) * static_cast<double>(rows[j][k]);
        ASSERT_NEAR(dot, i == j ? 1 : 0, 1e-5) << n;
      }
  }
}

TEST(Rotation, SpreadsAnOutlierOverTheWholeBlock) {
  std::vector<float> x(64, 0.0f);
  const std::vector<float> signs(64, 1.0f);
  x[5] = 8;
  rotate(x, signs);
  for (const float value : x) EXPECT_FLOAT_EQ(std::abs(value), 1);
}

}  // namespace
}  // namespace attar
