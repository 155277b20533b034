#include "compress/base/float_types.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace attar {
namespace {

TEST(Float16, EveryHalfSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = from_float16(half);
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(from_float16(to_float16(value))));
    else
      EXPECT_EQ(to_float16(value), half) << bits;
  }
}

TEST(Float16, RoundsToNearestEven) {
  // Between two neighbouring halves the midpoint goes to the even one, anything beyond to the
  // nearer.
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const auto low = static_cast<uint16_t>(bits), high = static_cast<uint16_t>(bits + 1);
    const float middle = (from_float16(low) + from_float16(high)) / 2;  // exact in float32
    EXPECT_EQ(to_float16(middle), bits % 2 == 0 ? low : high) << bits;
    EXPECT_EQ(to_float16(std::nextafter(middle, 0.0f)), low) << bits;
    EXPECT_EQ(to_float16(std::nextafter(middle, 1e9f)), high) << bits;
  }
}

TEST(Float16, OverflowBecomesInfinity) {
  EXPECT_EQ(to_float16(65504.0f), 0x7bff);
  EXPECT_EQ(to_float16(65519.9f), 0x7bff);
  EXPECT_EQ(to_float16(65520.0f), 0x7c00);
  EXPECT_EQ(to_float16(-1e30f), 0xfc00);
  EXPECT_EQ(to_float16(-0.0f), 0x8000);
}

TEST(Bfloat16, EveryValueSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = from_bfloat16(static_cast<uint16_t>(bits));
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(from_bfloat16(to_bfloat16(value))));
    else
      EXPECT_EQ(to_bfloat16(value), bits);
  }
}

TEST(Bfloat16, RoundsToNearestEven) {
  EXPECT_EQ(to_bfloat16(std::bit_cast<float>(0x3f808000u)), 0x3f80);
  EXPECT_EQ(to_bfloat16(std::bit_cast<float>(0x3f818000u)), 0x3f82);
  EXPECT_EQ(to_bfloat16(std::bit_cast<float>(0x3f808001u)), 0x3f81);
  EXPECT_TRUE(std::isinf(from_bfloat16(to_bfloat16(std::numeric_limits<float>::max()))));
}

}  // namespace
}  // namespace attar
