#include "compress/kernels/gram.h"

#include <gtest/gtest.h>

#include <cstring>

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
