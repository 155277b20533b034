// NF4 with double quantization against reference codes and values.
#include "compress/model/nf4.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compress/base/files.h"
#include "compress/formats/safetensors.h"

namespace attar {
namespace {

const fs::path kGolden = fs::path(ATTAR_SOURCE_DIR) / "tests/golden/methods/nf4";

std::vector<uint8_t> bytes(const TensorView& view) {
  const auto* data = reinterpret_cast<const uint8_t*>(view.bytes.data());
  return {data, data + view.bytes.size()};
}

TEST(Nf4, LevelsAreThePublishedOnes) {
  const auto golden = Safetensors::open(kGolden / "golden.safetensors");
  const auto levels = golden.at("levels").floats();
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(level_values(Levels::nf4)[i], levels[i]);
}

TEST(Nf4, AgreesWithReference) {
  const auto golden = Safetensors::open(kGolden / "golden.safetensors");
  for (const std::string name : {"a", "b_tail", "c_block128"}) {
    const auto& weight = golden.at(name + ".weight");
    const int64_t rows = weight.shape[0], cols = weight.shape[1];
    const Nf4Matrix matrix =
        quantize_nf4(weight.floats(), rows, cols, name == "c_block128" ? 128 : 64);
    EXPECT_EQ(matrix.packed, bytes(golden.at(name + ".packed"))) << name;
    EXPECT_EQ(matrix.scale_codes, bytes(golden.at(name + ".nested_codes"))) << name;
    EXPECT_NEAR(matrix.nested_scales[0], golden.at(name + ".nested_absmax").floats()[0], 1e-7);
    EXPECT_NEAR(matrix.offset, golden.at(name + ".nested_offset").floats()[0], 1e-7);
    const auto scales = golden.at(name + ".absmax_double_dequant").floats();
    for (size_t i = 0; i < scales.size(); ++i)
      EXPECT_NEAR(matrix.scale(static_cast<int64_t>(i)), scales[i], 1e-6);
    const auto expected = golden.at(name + ".dequant_double").floats();
    std::vector<float> values(expected.size());
    dequantize_nf4(matrix, 0, rows, values.data(), cols);
    for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], 1e-6) << i;
  }
}

TEST(Nf4, RowsAndStridesAddressTheSameValues) {
  std::vector<float> values(7 * 30);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  const Nf4Matrix matrix = quantize_nf4(values, 7, 30);
  std::vector<float> all(7 * 30), part(3 * 40, -9.0f);
  dequantize_nf4(matrix, 0, 7, all.data(), 30);
  dequantize_nf4(matrix, 2, 5, part.data(), 40);
  for (size_t row = 0; row < 3; ++row)
    for (size_t i = 0; i < 40; ++i)
      EXPECT_EQ(part[row * 40 + i], i < 30 ? all[(row + 2) * 30 + i] : -9.0f);
}

TEST(Nf4, ZerosStayZero) {
  const Nf4Matrix matrix = quantize_nf4(std::vector<float>(128, 0.0f), 2, 64);
  std::vector<float> values(128, 1.0f);
  dequantize_nf4(matrix, 0, 2, values.data(), 64);
  for (const float v : values) EXPECT_EQ(v, 0.0f);
}

}  // namespace
}  // namespace attar
