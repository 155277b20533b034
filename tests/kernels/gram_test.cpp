#include "compress/kernels/gram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/kernels/variants.h"

namespace attar {
namespace {

TEST(Gram, EqualsTheDoubleSumAndIsTheSameEverywhere) {
  const KernelGuard guard;
  Random random(11);
  const int64_t rows = 700, cols = 77;  // two chunks, a partial panel
  const auto x = normals(random, rows * cols);
  std::vector<double> expected(cols * cols);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < cols; ++i)
      for (int64_t j = 0; j < cols; ++j)
        expected[static_cast<size_t>(i * cols + j)] +=
            static_cast<double>(x[static_cast<size_t>(r * cols + i)]) *
            static_cast<double>(x[static_cast<size_t>(r * cols + j)]);
  std::vector<double> first;
  for (const KernelTable* table : variants())
    for (const int threads : {1, 2, 3}) {
      SCOPED_TRACE(::testing::Message() << table->name << ", threads " << threads);
      use_kernels(*table);
      set_thread_count(threads);
      std::vector<double> h(cols * cols);
      accumulate_gram(x.data(), rows, cols, h.data());
      if (first.empty()) first = h;
      EXPECT_EQ(0, std::memcmp(h.data(), first.data(), h.size() * sizeof(double)));
    }
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(first[i], expected[i], 1e-3);
  for (size_t i = 0; i < cols; ++i)
    for (size_t j = 0; j < cols; ++j) EXPECT_EQ(first[i * cols + j], first[j * cols + i]);
}

TEST(Gram, FromInt8IsWithinItsBoundAndTheSameEverywhere) {
  const KernelGuard guard;
  Random random(13);
  for (const auto& [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {130, 77}, {2200, 45}}) {
    auto x = normals(random, rows * cols);
    for (int64_t r = 0; r < rows; r += 100) x[static_cast<size_t>(r * cols)] = 300;  // outliers
    std::vector<double> exact(static_cast<size_t>(cols * cols)), first;
    accumulate_gram(x.data(), rows, cols, exact.data());
    for (const KernelTable* table : variants())
      for (const int threads : {1, 3}) {
        SCOPED_TRACE(::testing::Message()
                     << table->name << ", threads " << threads << ", " << rows);
        use_kernels(*table);
        set_thread_count(threads);
        std::vector<double> h(exact.size());
        accumulate_gram_int8(x.data(), rows, cols, h.data());
        if (first.empty()) first = h;
        EXPECT_EQ(0, std::memcmp(h.data(), first.data(), h.size() * sizeof(double)));
      }
    const auto at = [&](const auto& h, int64_t i, int64_t j) {
      return h[static_cast<size_t>(i * cols + j)];
    };
    for (int64_t i = 0; i < cols; ++i)
      for (int64_t j = 0; j < cols; ++j) {
        const double scale = std::sqrt(at(exact, i, i) * at(exact, j, j));
        EXPECT_NEAR(at(first, i, j), at(exact, i, j), scale / 100);
        EXPECT_EQ(at(first, i, j), at(first, j, i));
      }
  }
}

TEST(Gram, FromInt8SaysThatAColumnIsNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> x(20 * 3, 1.0f);
    x[7] = bad;  // row 2, column 1
    std::vector<double> h(9);
    accumulate_gram_int8(x.data(), 20, 3, h.data());
    EXPECT_TRUE(std::isnan(h[4]));
    EXPECT_FALSE(std::isnan(h[0]));
    EXPECT_FALSE(std::isnan(h[8]));
  }
}

TEST(Gram, AddsToWhatIsThere) {
  Random random(12);
  const auto x = normals(random, 40 * 10);
  std::vector<double> once(100), twice(100);
  accumulate_gram(x.data(), 40, 10, once.data());
  accumulate_gram(x.data(), 40, 10, twice.data());
  accumulate_gram(x.data(), 40, 10, twice.data());
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(twice[i], 2 * once[i]);
}

}  // namespace
}  // namespace attar
