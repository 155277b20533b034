#include "quantize/gptq.h"

#include <gtest/gtest.h>

#include <cmath>

#include "compress/base/random.h"
#include "compress/base/threads.h"
#include "quantize/rtn.h"
#include "tests/quantize/golden.h"

namespace attar {
namespace {

/// 2 / samples · Xᵀ X of x [samples, cols].
std::vector<float> hessian_of(const std::vector<float>& x, int64_t cols) {
  const int64_t samples = static_cast<int64_t>(x.size()) / cols;
  std::vector<float> h(static_cast<size_t>(cols * cols));
  for (int64_t i = 0; i < cols; ++i)
    for (int64_t j = 0; j < cols; ++j) {
      double sum = 0;
      for (int64_t s = 0; s < samples; ++s)
        sum += static_cast<double>(x[static_cast<size_t>(s * cols + i)]) *
               static_cast<double>(x[static_cast<size_t>(s * cols + j)]);
      h[static_cast<size_t>(i * cols + j)] =
          static_cast<float>(2 * sum / static_cast<double>(samples));
    }
  return h;
}

/// Inputs whose channels hang together and differ in size.
std::vector<float> correlated_inputs(int64_t samples, int64_t cols, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(static_cast<size_t>(samples * cols));
  for (int64_t s = 0; s < samples; ++s) {
    const double common = random.normal();
    for (int64_t j = 0; j < cols; ++j)
      x[static_cast<size_t>(s * cols + j)] =
          static_cast<float>((common + random.normal()) * (0.2 + static_cast<double>(j % 7)));
  }
  return x;
}

std::vector<float> difference(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> d(a.size());
  for (size_t i = 0; i < a.size(); ++i) d[i] = a[i] - b[i];
  return d;
}

/// ‖(W − Q) X‖² / ‖W X‖²
double relative_error(const std::vector<float>& w, int64_t rows, const QuantizedMatrix& q,
                      const std::vector<float>& h) {
  return output_energy(difference(w, dequantize(q)), rows, h, q.cols) /
         output_energy(w, rows, h, q.cols);
}

class GptqGolden : public testing::Test {
 protected:
  static constexpr int64_t kRows = 64, kCols = 128;
  const Golden golden{"gptq"};
  const std::vector<float> w = golden.floats("weight");
  const std::vector<float> h = hessian_of(golden.floats("calib"), kCols);

  GptqResult run(const std::string& kind, ColumnOrder order, bool running,
                 const std::vector<float>& weight, const std::vector<float>& hessian) const {
    const HessianFactor factor = factor_hessian(hessian, kCols, {0.01, order});
    EXPECT_TRUE(factor.ok);
    EXPECT_EQ(factor.damping, 0.01);
    GptqOptions options;
    options.scales.narrow = kind == "symnarrow";
    options.running_scales = running;
    return gptq(weight, kRows, factor, {4, 32, kind != "asym", DType::f32}, options);
  }

  /// Codes equal, scales equal to what float32 feedback leaves; `sym` ties at −7.5 may fall either
  /// way (see the README there).
  void compare(const std::string& name, const QuantizedMatrix& q) const {
    SCOPED_TRACE(name);
    const auto codes = golden.integers(name + ".codes");
    const auto scales = golden.floats(name + ".scale");
    int64_t different = 0;
    for (size_t i = 0; i < codes.size(); ++i)
      different += codes[i] != static_cast<int64_t>(q.codes[i]);
    if (!name.starts_with("sym_")) {
      EXPECT_EQ(different, 0);
    }
    for (size_t i = 0; i < scales.size(); ++i)
      EXPECT_NEAR(q.scales[i], scales[i], 1e-5 * scales[i]);
    if (name.starts_with("asym")) {
      const auto zeros = golden.integers(name + ".zero");
      for (size_t i = 0; i < zeros.size(); ++i)
        EXPECT_EQ(zeros[i], static_cast<int64_t>(q.zeros[i]));
    }
    QuantizedMatrix reference = q;
    reference.scales = scales;
    for (size_t i = 0; i < codes.size(); ++i) reference.codes[i] = static_cast<uint8_t>(codes[i]);
    EXPECT_NEAR(relative_error(w, kRows, q, h) / relative_error(w, kRows, reference, h), 1, 0.05);
  }
};

TEST_F(GptqGolden, LeftToRightWithRunningScales) {
  for (const std::string kind : {"sym", "symnarrow", "asym"})
    compare(kind + "_none", run(kind, ColumnOrder::none, true, w, h).matrix);
}

TEST_F(GptqGolden, StaticActOrder) {
  for (const std::string kind : {"sym", "symnarrow", "asym"})
    compare(kind + "_static", run(kind, ColumnOrder::descending, false, w, h).matrix);
}

TEST_F(GptqGolden, GroupActOrderIsLeftToRightOnPermutedColumns) {
  for (const std::string kind : {"sym", "symnarrow", "asym"}) {
    const auto order = golden.integers(kind + "_group.perm");
    EXPECT_EQ(std::vector<int64_t>(order.begin(), order.end()), [&] {
      const auto factor = factor_hessian(h, kCols, {0.01, ColumnOrder::descending});
      return std::vector<int64_t>(factor.order.begin(), factor.order.end());
    }());
    std::vector<float> weight(w.size()), hessian(h.size());
    for (int64_t k = 0; k < kCols; ++k) {
      const int64_t from = order[static_cast<size_t>(k)];
      for (int64_t r = 0; r < kRows; ++r)
        weight[static_cast<size_t>(r * kCols + k)] = w[static_cast<size_t>(r * kCols + from)];
      for (int64_t i = 0; i < kCols; ++i)
        hessian[static_cast<size_t>(i * kCols + k)] =
            h[static_cast<size_t>(order[static_cast<size_t>(i)] * kCols + from)];
    }
    QuantizedMatrix permuted = run(kind, ColumnOrder::none, true, weight, hessian).matrix;
    const auto codes = golden.integers(kind + "_group.codes");
    int64_t different = 0;
    for (int64_t r = 0; r < kRows; ++r)
      for (int64_t k = 0; k < kCols; ++k)
        different += codes[static_cast<size_t>(r * kCols + order[static_cast<size_t>(k)])] !=
                     static_cast<int64_t>(permuted.codes[static_cast<size_t>(r * kCols + k)]);
    if (kind != "sym") {
      EXPECT_EQ(different, 0) << kind;
    } else {
      EXPECT_LT(different, 400);
    }
  }
}

TEST_F(GptqGolden, LossIsTheDampedOutputError) {
  const GptqResult result = run("asym", ColumnOrder::descending, false, w, h);
  std::vector<float> damped = h;
  double mean = 0;
  for (int64_t j = 0; j < kCols; ++j)
    mean += static_cast<double>(h[static_cast<size_t>(j * kCols + j)]);
  mean /= kCols;
  for (int64_t j = 0; j < kCols; ++j)
    damped[static_cast<size_t>(j * kCols + j)] += static_cast<float>(0.01 * mean);
  double loss = 0;
  for (const double row : result.row_losses) loss += row;
  const double expected =
      output_energy(difference(w, dequantize(result.matrix)), kRows, damped, kCols);
  EXPECT_NEAR(loss / expected, 1, 1e-3);
}

TEST(Cholesky, FactorsMatricesOfEverySize) {
  for (const int64_t n : {1, 2, 17, 63, 64, 65, 130, 200}) {
    const auto h = hessian_of(correlated_inputs(2 * n + 5, n, 4), n);
    std::vector<double> a(h.begin(), h.end());
    ASSERT_TRUE(cholesky(a, n)) << n;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        double sum = 0;
        for (int64_t k = 0; k <= j; ++k)
          sum += a[static_cast<size_t>(i * n + k)] * a[static_cast<size_t>(j * n + k)];
        ASSERT_NEAR(sum, static_cast<double>(h[static_cast<size_t>(i * n + j)]), 1e-9 * 100)
            << n << ": " << i << ", " << j;
      }
  }
}

TEST(Cholesky, RefusesWhatIsNotPositiveDefinite) {
  std::vector<double> a = {1, 2, 2, 1};
  EXPECT_FALSE(cholesky(a, 2));
}

TEST(Hessian, DampingRisesUntilTheFactorExists) {
  // Two equal inputs, and rounding noise that makes the matrix slightly indefinite.
  const std::vector<float> h = {1, 1.02f, 1.02f, 1};
  const HessianFactor factor = factor_hessian(h, 2, {0.001, ColumnOrder::none});
  EXPECT_TRUE(factor.ok);
  EXPECT_GT(factor.damping, 0.01);
  EXPECT_EQ(factor.escalations, 2);
}

TEST(Hessian, BrokenInputIsSaidNotUsed) {
  EXPECT_FALSE(factor_hessian(std::vector<float>{NAN, 0, 0, 1}, 2).ok);
  EXPECT_FALSE(factor_hessian(std::vector<float>{1, NAN, NAN, 1}, 2).ok);
  EXPECT_FALSE(factor_hessian(std::vector<float>{0, 0, 0, 0}, 2).ok);
  EXPECT_FALSE(factor_hessian(std::vector<float>{1, 50, 50, 1}, 2).ok);
}

TEST(Gptq, DeadColumnsAreRoundedToNearest) {
  constexpr int64_t kCols = 32, kRows = 5;
  auto x = correlated_inputs(200, kCols, 5);
  for (size_t i = 3; i < x.size(); i += kCols) x[i] = 0;
  const auto w = correlated_inputs(kRows, kCols, 6);
  const HessianFactor factor = factor_hessian(hessian_of(x, kCols), kCols);
  ASSERT_TRUE(factor.ok);
  EXPECT_EQ(factor.dead_columns, 1);
  const QuantLayout layout{4, 0, true, DType::f32};
  const auto q = gptq(w, kRows, factor, layout).matrix, nearest = rtn(w, kRows, kCols, layout);
  for (int64_t r = 0; r < kRows; ++r)
    EXPECT_EQ(q.codes[static_cast<size_t>(r * kCols + 3)],
              nearest.codes[static_cast<size_t>(r * kCols + 3)]);
}

TEST(Gptq, BeatsRoundingAndIsTheSameForAnyThreadCount) {
  constexpr int64_t kCols = 320, kRows = 100;
  const auto h = hessian_of(correlated_inputs(800, kCols, 7), kCols);
  const auto w = correlated_inputs(kRows, kCols, 8);
  const int before = thread_count();
  for (const int bits : {2, 3, 4, 8})
    for (const bool symmetric : {true, false}) {
      const QuantLayout layout{bits, 32, symmetric, DType::f16};
      set_thread_count(1);
      const HessianFactor factor = factor_hessian(h, kCols);
      const auto one = gptq(w, kRows, factor, layout).matrix;
      set_thread_count(3);
      const HessianFactor again = factor_hessian(h, kCols);
      const auto three = gptq(w, kRows, again, layout).matrix;
      EXPECT_EQ(factor.feedback, again.feedback);
      EXPECT_EQ(one.codes, three.codes);
      EXPECT_LT(relative_error(w, kRows, one, h),
                relative_error(w, kRows, rtn(w, kRows, kCols, layout), h) * 0.8);
    }
  set_thread_count(before);
}

}  // namespace
}  // namespace attar
