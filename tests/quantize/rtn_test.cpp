#include "quantize/rtn.h"

#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

#include "compress/base/error.h"
#include "compress/base/random.h"
#include "compress/base/threads.h"
#include "tests/quantize/golden.h"

namespace attar {
namespace {

constexpr int64_t kRows = 32, kCols = 256;

std::vector<float> random_matrix(int64_t rows, int64_t cols, uint64_t seed) {
  Random random(seed);
  std::vector<float> w(static_cast<size_t>(rows * cols));
  for (float& value : w) value = static_cast<float>(random.normal());
  return w;
}

TEST(Rtn, ReproducesTheReference) {
  const Golden golden("rtn");
  const auto w = golden.floats("weight");
  for (const int bits : {4, 8})
    for (const std::string kind : {"sym", "symnarrow", "asym"})
      for (const int64_t group : {32, 128, 0}) {
        const std::string name = "int" + std::to_string(bits) + "_" + kind + "_g" +
                                 (group == 0 ? "channel" : std::to_string(group));
        SCOPED_TRACE(name);
        ScaleOptions options;
        options.narrow = kind == "symnarrow";
        const QuantLayout layout{bits, group, kind != "asym", DType::f32};
        const QuantizedMatrix q = rtn(w, kRows, kCols, layout, options);
        const auto codes = golden.integers(name + ".codes");
        const int offset = 1 << (bits - 1);
        ASSERT_EQ(codes.size(), q.codes.size());
        for (size_t i = 0; i < codes.size(); ++i)
          ASSERT_EQ(codes[i] + offset, static_cast<int64_t>(q.codes[i])) << "element " << i;
        EXPECT_EQ(q.scales, golden.floats(name + ".scale"));
        EXPECT_EQ(dequantize(q), golden.floats(name + ".dequant"));
        if (layout.symmetric) continue;
        const auto zeros = golden.integers(name + ".zero_point");
        ASSERT_EQ(zeros.size(), q.zeros.size());
        for (size_t i = 0; i < zeros.size(); ++i)
          EXPECT_EQ(zeros[i] + offset, static_cast<int64_t>(q.zeros[i]));
      }
}

TEST(Rtn, Nf4ReproducesTheReferenceWhereGroupsFillRows) {
  const Golden golden("nf4");
  for (const auto& [name, rows, cols, group] :
       {std::tuple("a", 48, 128, 64), std::tuple("c_block128", 8, 256, 128)}) {
    const std::string matrix = name;
    const QuantizedMatrix q = rtn(golden.floats(matrix + ".weight"), rows, cols,
                                  {4, group, true, DType::f32, false, Levels::nf4});
    const auto codes = golden.integers(matrix + ".codes");
    EXPECT_TRUE(std::equal(codes.begin(), codes.end(), q.codes.begin(), q.codes.end())) << name;
    EXPECT_EQ(q.scales, golden.floats(matrix + ".absmax"));
    EXPECT_EQ(dequantize(q), golden.floats(matrix + ".dequant"));
  }
}

double squared_error(const std::vector<float>& w, const QuantizedMatrix& q) {
  const auto back = dequantize(q);
  double sum = 0;
  for (size_t i = 0; i < w.size(); ++i) sum += std::pow(static_cast<double>(w[i] - back[i]), 2);
  return sum;
}

TEST(Rtn, EveryBitMoreCutsTheErrorAndScalesAreStoredRounded) {
  const auto w = random_matrix(16, 96, 1);
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32})
    for (const bool symmetric : {true, false}) {
      double previous = 1e30;
      for (int bits = 2; bits <= 8; ++bits) {
        const QuantizedMatrix q = rtn(w, 16, 96, {bits, 32, symmetric, dtype});
        for (const float scale : q.scales) EXPECT_EQ(scale, storable_scale(scale, dtype));
        for (const uint8_t code : q.codes) ASSERT_LT(code, 1 << bits);
        const double error = squared_error(w, q);
        EXPECT_LT(error, previous * 0.5) << bits;
        previous = error;
      }
    }
}

TEST(Rtn, SearchedScalesNeverRaiseTheError) {
  const auto w = random_matrix(16, 256, 2);
  for (const int bits : {3, 4})
    for (const bool symmetric : {true, false}) {
      const QuantLayout layout{bits, 128, symmetric, DType::f16};
      ScaleOptions searched;
      searched.search = ScaleSearch::search;
      EXPECT_LT(squared_error(w, rtn(w, 16, 256, layout, searched)),
                squared_error(w, rtn(w, 16, 256, layout)) * 0.95);
    }
}

TEST(Rtn, ZerosConstantsAndTailsAreExact) {
  std::vector<float> w(3 * 40, 0.0f);
  for (int64_t j = 0; j < 40; ++j) w[static_cast<size_t>(40 + j)] = 0.5f;
  const QuantizedMatrix q = rtn(w, 3, 40, {4, 0, false, DType::f32});
  const auto back = dequantize(q);
  for (size_t j = 0; j < 40; ++j) {
    EXPECT_EQ(back[j], 0.0f);
    EXPECT_NEAR(back[40 + j], 0.5f, 1e-6);
    EXPECT_EQ(back[80 + j], 0.0f);
  }
}

TEST(Rtn, ScaleBeyondHalfPrecisionIsAnError) {
  const std::vector<float> w = {1e6f, -1e7f};
  EXPECT_THROW(rtn(w, 1, 2, {4, 0, true, DType::f16}), Error);
  EXPECT_NO_THROW(rtn(w, 1, 2, {4, 0, true, DType::bf16}));
}

TEST(Rtn, AnyThreadCountGivesTheSameCodes) {
  const auto w = random_matrix(70, 128, 3);
  ScaleOptions searched;
  searched.search = ScaleSearch::search;
  const QuantLayout layout{4, 32, false, DType::f16};
  const int before = thread_count();
  set_thread_count(1);
  const QuantizedMatrix one = rtn(w, 70, 128, layout, searched);
  set_thread_count(4);
  const QuantizedMatrix four = rtn(w, 70, 128, layout, searched);
  set_thread_count(before);
  EXPECT_EQ(one.codes, four.codes);
  EXPECT_EQ(one.scales, four.scales);
  EXPECT_EQ(one.zeros, four.zeros);
}

}  // namespace
}  // namespace attar
