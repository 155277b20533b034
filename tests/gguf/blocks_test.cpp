// Block types against ggml's own bytes (tests/golden/methods/ggml_quants).
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "compress/base/float_types.h"
#include "compress/base/random.h"
#include "compress/base/threads.h"
#include "compress/formats/gguf/tensor_types.h"
#include "compress/formats/safetensors.h"
#include "tests/formats/scratch.h"

namespace attar::gguf {
namespace {

constexpr int64_t kRows = 8, kCols = 512;

const Safetensors& golden() {
  static const auto file =
      Safetensors::open(testing::kGolden / "methods/ggml_quants/golden.safetensors");
  return file;
}

std::vector<std::byte> bytes_of(const std::string& name) {
  const auto view = golden().at(name + ".bytes").bytes;
  return {view.begin(), view.end()};
}

/// Mean of importance · error² over [rows, cols].
double error_of(std::span<const float> a, std::span<const float> b,
                std::span<const float> importance = {}) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference *
           (importance.empty() ? 1.0 : static_cast<double>(importance[i % kCols]));
  }
  return sum / static_cast<double>(a.size());
}

TEST(Blocks, DecodeExactlyAsTheReference) {
  int checked = 0;
  for (const TensorView& tensor : golden().tensors()) {
    const std::string_view suffix = ".bytes";
    if (!tensor.name.ends_with(suffix)) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - suffix.size());
    const TensorType* type =
        find_tensor_type(std::string_view(name).substr(0, name.find("_imatrix")));
    ASSERT_NE(type, nullptr) << name;
    EXPECT_EQ(type->row_bytes(kCols), tensor.shape[1]) << name;
    EXPECT_EQ(decode(*type, tensor.bytes, kRows, kCols), golden().at(name + ".dequant").floats())
        << name;
    ++checked;
  }
  EXPECT_EQ(checked, 19);
}

TEST(Blocks, TakenApartStandForTheSameValues) {
  std::set<std::string_view> checked;
  for (const TensorView& tensor : golden().tensors()) {
    const std::string_view name = tensor.name, suffix = ".bytes";
    if (!name.ends_with(suffix)) continue;
    const TensorType& type =
        *find_tensor_type(name.substr(0, std::min(name.find("_imatrix"), name.find(suffix))));
    if (type.take_apart == nullptr) continue;
    const QuantizedMatrix q = matrix_of(type, tensor.bytes, kRows, kCols);
    EXPECT_EQ(dequantize(q), decode(type, tensor.bytes, kRows, kCols)) << name;
    EXPECT_EQ(q.offsets.empty(), !type.offsets) << name;
    const auto in_units = [&](const std::vector<float>& values, const std::vector<float>& units) {
      for (size_t i = 0; i < values.size() && q.unit_groups > 0; ++i) {
        const float unit = units[i / static_cast<size_t>(q.unit_groups)];
        const float times = unit == 0 ? 0 : values[i] / unit;
        EXPECT_TRUE(times == std::nearbyint(times) && times >= -128 && times <= 127) << name;
        EXPECT_EQ(unit, from_float16(to_float16(unit))) << name;
      }
    };
    in_units(q.scales, q.scale_units);
    in_units(q.offsets, q.offset_units);
    checked.insert(type.name);
  }
  EXPECT_EQ(checked.size(), 12u);
}

TEST(Blocks, EncodeToTheBytesOfTheReference) {
  const auto weight = golden().at("weight").floats();
  for (const char* name : {"F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"})
    EXPECT_EQ(encode(*find_tensor_type(name), weight, kRows, kCols), bytes_of(name)) << name;
}

TEST(Blocks, EncodeWithNoLargerErrorThanTheReference) {
  const auto weight = golden().at("weight").floats();
  for (const char* name : {"Q2_K", "Q3_K", "Q6_K"}) {
    const TensorType& type = *find_tensor_type(name);
    const auto ours = decode(type, encode(type, weight, kRows, kCols), kRows, kCols);
    const auto theirs = golden().at(std::string(name) + ".dequant").floats();
    EXPECT_LE(error_of(weight, ours), error_of(weight, theirs)) << name;
  }
}

TEST(Blocks, EncodeWithImportanceNoWorseThanTheReference) {
  const auto weight = golden().at("weight").floats();
  const auto importance = golden().at("imatrix").floats();
  for (const char* name : {"Q4_0", "Q2_K", "Q3_K", "Q4_K"}) {
    const TensorType& type = *find_tensor_type(name);
    const auto ours = decode(type, encode(type, weight, kRows, kCols, importance), kRows, kCols);
    const auto theirs = golden().at(std::string(name) + "_imatrix.dequant").floats();
    EXPECT_LE(error_of(weight, ours, importance), error_of(weight, theirs, importance)) << name;
  }
}

TEST(Blocks, ImportanceLowersTheErrorItWeighs) {
  const auto weight = golden().at("weight").floats();
  const auto importance = golden().at("imatrix").floats();
  for (const TensorType& type : tensor_types()) {
    if (type.encode == nullptr || type.block == 1 || type.name == "Q8_0") continue;
    const auto plain = decode(type, encode(type, weight, kRows, kCols), kRows, kCols);
    const auto weighted =
        decode(type, encode(type, weight, kRows, kCols, importance), kRows, kCols);
    EXPECT_LT(error_of(weight, weighted, importance), error_of(weight, plain, importance))
        << type.name;
  }
}

std::vector<float> random_values(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

TEST(Blocks, GiveTheSameBytesOnAnyNumberOfThreads) {
  const auto values = random_values(64 * 512, 5);
  const int before = thread_count();
  for (const TensorType& type : tensor_types()) {
    if (type.encode == nullptr) continue;
    set_thread_count(1);
    const auto single = encode(type, values, 64, 512);
    set_thread_count(4);
    EXPECT_EQ(encode(type, values, 64, 512), single) << type.name;
  }
  set_thread_count(before);
}

TEST(Blocks, CodesCanBeReplacedAndStandForTheGrid) {
  const auto values = random_values(kRows * kCols, 6);
  Random random(7);
  int checked = 0;
  for (const TensorType& type : tensor_types()) {
    if (type.put_codes == nullptr) continue;
    ++checked;
    auto bytes = encode(type, values, kRows, kCols);
    const CodeGrid grid = grid_of(type, bytes, kRows, kCols);
    std::vector<uint8_t> codes(values.size());
    for (uint8_t& code : codes) code = static_cast<uint8_t>(random.next() >> (64 - type.bits));
    put_codes(type, codes, kRows, kCols, bytes);
    const auto back = decode(type, bytes, kRows, kCols);
    for (size_t i = 0; i < codes.size(); ++i) {
      const size_t pair = i / static_cast<size_t>(type.group);
      const float expected = grid.bases[pair] + grid.steps[pair] * static_cast<float>(codes[i]);
      ASSERT_NEAR(back[i], expected, 1e-5f) << type.name << " weight " << i;
    }
    const CodeGrid after = grid_of(type, bytes, kRows, kCols);
    EXPECT_EQ(after.steps, grid.steps) << type.name;
    EXPECT_EQ(after.bases, grid.bases) << type.name;
  }
  EXPECT_EQ(checked, 10);
}

/// Rows that searches divide by: nothing in them, one value, all alike, one sign, huge and tiny.
std::vector<std::vector<float>> odd_rows() {
  std::vector<std::vector<float>> rows(9, std::vector<float>(kCols, 0.0f));
  rows[1][7] = 3;
  rows[2][300] = -3;
  rows[3].assign(kCols, 0.25f);
  rows[4].assign(kCols, -0.25f);
  for (size_t i = 0; i < rows[5].size(); ++i) rows[5][i] = 1e-30f * static_cast<float>(i);
  for (size_t i = 0; i < rows[6].size(); ++i) rows[6][i] = i % 2 ? 1e4f : -1e4f;
  for (size_t i = 0; i < rows[7].size(); ++i) rows[7][i] = i == 17 ? 1000.0f : 1e-6f;
  rows[8] = random_values(kCols, 3);
  for (float& value : rows[8]) value = std::abs(value);
  return rows;
}

TEST(Blocks, KeepOddRowsFiniteAndClose) {
  const std::vector<float> none(kCols, 0.0f);
  for (const TensorType& type : tensor_types()) {
    if (type.encode == nullptr) continue;
    int index = 0;
    for (const auto& row : odd_rows()) {
      for (const auto& importance : {std::vector<float>{}, none}) {
        const auto back = decode(type, encode(type, row, 1, kCols, importance), 1, kCols);
        float extreme = 0, worst = 0;
        for (size_t i = 0; i < back.size(); ++i) {
          ASSERT_TRUE(std::isfinite(back[i])) << type.name << " row " << index;
          extreme = std::max(extreme, std::abs(row[i]));
          worst = std::max(worst, std::abs(back[i] - row[i]));
        }
        EXPECT_LE(worst, extreme * 0.6f + 1e-7f) << type.name << " row " << index;
      }
      ++index;
    }
  }
}

}  // namespace
}  // namespace attar::gguf
