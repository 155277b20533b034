#include "compress/formats/dtype.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace attar {
namespace {

constexpr std::array kAll = {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64,
                             DType::i32, DType::i16, DType::i8,  DType::u8,   DType::boolean};

TEST(DType, NamesLeadBack) {
  for (const DType dtype : kAll) {
    EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
    EXPECT_EQ(dtype_from_torch_name(torch_dtype_name(dtype)), dtype);
  }
  EXPECT_EQ(dtype_from_torch_name("bf16"), DType::bf16);
  EXPECT_FALSE(dtype_from_name("F8_E4M3"));
  EXPECT_FALSE(dtype_from_torch_name("float8"));
}

TEST(DType, FloatsSurviveTheTypeThatHoldsThemAtAnyAlignment) {
  const std::vector<float> values = {
      0.0f, -0.0f, 1.5f, -2.0f, 0.0078125f, 65280.0f, std::numeric_limits<float>::infinity()};
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    for (size_t shift = 0; shift < 3; ++shift) {
      std::vector<std::byte> memory(shift + values.size() * dtype_size(dtype));
      const auto bytes = std::span(memory).subspan(shift);
      from_float32(values, dtype, bytes);
      std::vector<float> back(values.size());
      to_float32(bytes, dtype, back);
      EXPECT_EQ(std::memcmp(back.data(), values.data(), values.size() * sizeof(float)), 0)
          << dtype_name(dtype) << " shifted by " << shift;
    }
}

TEST(DType, RoundsToNearestEven) {
  const std::vector<float> values = {1.00390625f, 1.01171875f};  // halfway between two bfloat16
  std::array<std::byte, 4> bytes{};
  from_float32(values, DType::bf16, bytes);
  std::vector<float> back(2);
  to_float32(bytes, DType::bf16, back);
  EXPECT_EQ(back, (std::vector<float>{1.0f, 1.015625f}));
}

TEST(DType, NarrowsDoubles) {
  const std::array<double, 2> values = {0.1, -1e300};
  std::vector<float> narrowed(2);
  to_float32(std::as_bytes(std::span(values)), DType::f64, narrowed);
  EXPECT_EQ(narrowed[0], 0.1f);
  EXPECT_TRUE(std::isinf(narrowed[1]));
}

}  // namespace
}  // namespace attar
