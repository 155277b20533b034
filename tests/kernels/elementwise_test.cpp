#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "tests/kernels/variants.h"

namespace attar {
namespace {

/// Runs f(table, out) on every instruction set; all outputs must be equal to the byte. Returns one
/// of them.
template <class F>
std::vector<float> everywhere(size_t count, F f) {
  std::vector<float> first;
  for (const KernelTable* table : variants()) {
    std::vector<float> out(count);
    f(*table, out);
    if (first.empty()) first = out;
    EXPECT_EQ(0, std::memcmp(out.data(), first.data(), count * sizeof(float))) << table->name;
  }
  return first;
}

TEST(Softmax, SumsToItsReturnValueAndHidesMinusInfinity) {
  Random random(21);
  auto scores = normals(random, 320, 5);
  for (size_t i = 0; i < 320; i += 7) scores[i] = -std::numeric_limits<float>::infinity();
  const auto out = everywhere(321, [&](const KernelTable& table, std::vector<float>& values) {
    std::copy(scores.begin(), scores.end(), values.begin());
    values[320] = table.softmax(values.data(), 320);
  });
  float top = -1e9f;
  for (const float s : scores) top = std::max(top, s);
  double sum = 0;
  for (size_t i = 0; i < 320; ++i) {
    const double expected = std::exp(static_cast<double>(scores[i] - top));
    EXPECT_NEAR(static_cast<double>(out[i]), expected, 2e-7 * expected) << scores[i];
    sum += expected;
  }
  EXPECT_EQ(out[0], 0.0f);
  EXPECT_NEAR(static_cast<double>(out[320]), sum, 1e-5 * sum);
}

TEST(Elementwise, ActivationsMatchTheirFormulas) {
  Random random(22);
  auto gate = normals(random, 101, 6), up = normals(random, 101);
  gate[0] = 200;
  gate[1] = -200;
  const auto silu = everywhere(101, [&](const KernelTable& table, std::vector<float>& out) {
    table.silu_product(gate.data(), up.data(), out.data(), 101);
  });
  const auto gelu = everywhere(101, [&](const KernelTable& table, std::vector<float>& out) {
    table.gelu_tanh_product(gate.data(), up.data(), out.data(), 101);
  });
  for (size_t i = 0; i < 101; ++i) {
    const auto g = static_cast<double>(gate[i]), u = static_cast<double>(up[i]);
    EXPECT_NEAR(static_cast<double>(silu[i]), g / (1 + std::exp(-g)) * u,
                1e-6 * std::abs(g * u) + 1e-30);
    const double t = std::tanh(std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g));
    EXPECT_NEAR(static_cast<double>(gelu[i]), 0.5 * g * (1 + t) * u, 1e-6 * std::abs(g * u) + 1e-6);
  }
}

TEST(Elementwise, SumOfSquaresAndAxpy) {
  Random random(23);
  const auto x = normals(random, 1003), y = normals(random, 1003);
  const auto out = everywhere(1004, [&](const KernelTable& table, std::vector<float>& values) {
    std::copy(y.begin(), y.end(), values.begin());
    table.axpy(0.37f, x.data(), values.data(), 1003);
    values[1003] = table.sum_of_squares(x.data(), 1003);
  });
  double sum = 0;
  for (size_t i = 0; i < 1003; ++i) {
    EXPECT_EQ(out[i], std::fma(0.37f, x[i], y[i]));
    sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  EXPECT_NEAR(static_cast<double>(out[1003]), sum, 1e-5 * sum);
}

}  // namespace
}  // namespace attar
