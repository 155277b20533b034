#include "compress/kernels/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "compress/base/error.h"
#include "compress/base/float_types.h"
#include "tests/kernels/variants.h"

namespace attar {
namespace {

DenseTensor dense_tensor(DType dtype, int64_t rows, int64_t cols,
                         const std::vector<float>& values) {
  auto bytes = std::make_shared<std::vector<std::byte>>(values.size() * dtype_size(dtype));
  from_float32(values, dtype, *bytes);
  return {dtype, {rows, cols}, *bytes, bytes};
}

QuantizedMatrix random_quantized(Random& random, int bits, int64_t group, bool symmetric,
                                 int64_t rows, int64_t cols) {
  QuantizedMatrix q;
  q.layout = {bits, group, symmetric, DType::f32};
  q.rows = rows;
  q.cols = cols;
  for (int64_t i = 0; i < rows * cols; ++i)
    q.codes.push_back(static_cast<uint8_t>(random.below(uint64_t{1} << bits)));
  const bool half = random.below(2) == 0;
  for (int64_t i = 0; i < rows * q.groups(); ++i) {
    const auto scale = static_cast<float>(0.01 + random.uniform());
    q.scales.push_back(half ? from_float16(to_float16(scale)) : scale);
    if (!symmetric) q.zeros.push_back(static_cast<uint8_t>(random.below(uint64_t{1} << bits)));
  }
  return q;
}

/// The definition: one chain of fused steps in column order.
std::vector<float> reference(const std::vector<float>& x, int64_t m, const std::vector<float>& w,
                             int64_t rows, int64_t cols) {
  std::vector<float> y;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t n = 0; n < rows; ++n) {
      float sum = 0;
      for (int64_t k = 0; k < cols; ++k)
        sum = std::fma(x[static_cast<size_t>(i * cols + k)], w[static_cast<size_t>(n * cols + k)],
                       sum);
      y.push_back(sum);
    }
  return y;
}

void expect_same_bytes(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_EQ(std::bit_cast<uint32_t>(a[i]), std::bit_cast<uint32_t>(b[i]))
        << "at " << i << ": " << a[i] << " and " << b[i];
}

/// Every instruction set and thread count gives the bytes of the definition.
void check_exact(const PackedMatrix& packed, const std::vector<float>& w, Random& random) {
  const KernelGuard guard;
  const int64_t m = 1 + static_cast<int64_t>(random.below(40));
  const std::vector<float> x = normals(random, m * packed.cols());
  const auto expected = reference(x, m, w, packed.rows(), packed.cols());
  const auto first = std::vector(expected.begin(), expected.begin() + packed.rows());
  for (const KernelTable* table : variants()) {
    SCOPED_TRACE(table->name);
    use_kernels(*table);
    for (const int threads : {1, 3}) {
      set_thread_count(threads);
      std::vector<float> y(expected.size(), NAN), row(first.size(), NAN);
      matmul(x.data(), m, packed, y.data());
      expect_same_bytes(y, expected);
      matmul(x.data(), 1, packed, row.data());
      expect_same_bytes(row, first);
    }
  }
}

/// The definition of int8 activations: segments of the row, exact integer sums, one chain of fused
/// steps.
std::vector<float> int8_reference(const std::vector<float>& x, int64_t m, const QuantizedMatrix& q,
                                  int64_t segment) {
  std::vector<float> y;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t n = 0; n < q.rows; ++n) {
      float sum = 0;
      for (int64_t begin = 0; begin < q.cols; begin += segment) {
        const int64_t end = std::min(begin + segment, q.cols), g = begin / q.group();
        float largest = 0;
        for (int64_t k = begin; k < end; ++k)
          largest = std::max(largest, std::abs(x[static_cast<size_t>(i * q.cols + k)]));
        int32_t products = 0;
        for (int64_t k = begin; k < end && largest > 0; ++k)
          products += (q.codes[static_cast<size_t>(n * q.cols + k)] - q.zero(n, g)) *
                      static_cast<int32_t>(std::nearbyint(x[static_cast<size_t>(i * q.cols + k)] *
                                                          (127.0f / largest)));
        sum = std::fma(static_cast<float>(products),
                       q.scales[static_cast<size_t>(n * q.groups() + g)] * (largest / 127.0f), sum);
      }
      y.push_back(sum);
    }
  return y;
}

int64_t dimension(Random& random) {
  return 1 + static_cast<int64_t>(random.below(300));
}

TEST(Matmul, DenseOfAnyShapeEqualsTheDefinitionOnEveryInstructionSet) {
  Random random(1);
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16})
    for (int i = 0; i < 8; ++i) {
      const int64_t rows = dimension(random), cols = dimension(random);
      SCOPED_TRACE(::testing::Message() << dtype_name(dtype) << " " << rows << " x " << cols);
      const DenseTensor tensor = dense_tensor(dtype, rows, cols, normals(random, rows * cols));
      check_exact(PackedMatrix::pack(tensor), tensor.floats(), random);
    }
}

TEST(Matmul, DepthBeyondOneStretchGoesOnWithTheSameSum) {
  Random random(2);
  const DenseTensor tensor = dense_tensor(DType::f32, 70, 1111, normals(random, 70 * 1111));
  check_exact(PackedMatrix::pack(tensor), tensor.floats(), random);
  const auto q = random_quantized(random, 4, 48, false, 70, 1111);
  check_exact(PackedMatrix::pack(q), dequantize(q), random);
}

TEST(Matmul, QuantizedEqualsItsDequantizedMatrixToTheByte) {
  Random random(3);
  for (const int bits : {2, 3, 4, 5, 8})
    for (const int64_t group : {0, 1, 5, 8, 12, 32, 64, 128})
      for (const bool symmetric : {true, false}) {
        const int64_t rows = dimension(random), cols = dimension(random);
        const auto q = random_quantized(random, bits, group, symmetric, rows, cols);
        SCOPED_TRACE(::testing::Message() << q.layout.name() << " " << rows << " x " << cols);
        check_exact(PackedMatrix::pack(q), dequantize(q), random);
      }
}

TEST(Matmul, Int8ActivationsEqualTheirDefinitionOnEveryInstructionSet) {
  Random random(8);
  const KernelGuard guard;
  const std::vector<std::pair<int64_t, int64_t>> groups = {
      // group, segment
      {0, 128}, {8, 8}, {32, 32}, {48, 48}, {64, 64}, {128, 128}, {160, 80}, {256, 128}};
  for (const int bits : {2, 4, 7, 8})
    for (const auto& [group, segment] : groups)
      for (const bool symmetric : {true, false}) {
        const int64_t rows = dimension(random), cols = dimension(random);
        const int64_t m = 1 + static_cast<int64_t>(random.below(30));
        auto q = random_quantized(random, bits, group, symmetric, rows, cols);
        if (random.below(3) == 0)  // extremes: every sum at its limit
          std::fill(q.codes.begin(), q.codes.end(), static_cast<uint8_t>((1 << bits) - 1));
        SCOPED_TRACE(::testing::Message() << q.layout.name() << " " << rows << " x " << cols);
        auto x = normals(random, m * cols);
        if (random.below(3) == 0) std::fill(x.begin(), x.end(), random.below(2) ? 1.0f : -1.0f);
        x[0] = 0;
        const auto expected = int8_reference(x, m, q, q.groups() == 1 ? 128 : segment);
        const PackedMatrix packed = PackedMatrix::pack(q);
        for (const KernelTable* table : variants())
          for (const int threads : {1, 2}) {
            SCOPED_TRACE(table->name);
            use_kernels(*table);
            set_thread_count(threads);
            std::vector<float> y(expected.size(), NAN), row(static_cast<size_t>(rows), NAN);
            matmul(x.data(), m, packed, y.data(), Activations::int8);
            expect_same_bytes(y, expected);
            matmul(x.data(), 1, packed, row.data(), Activations::int8);
            expect_same_bytes(row, {expected.begin(), expected.begin() + rows});
          }
      }
}

TEST(Matmul, Int8ActivationsOfDeepMatricesAndMixedGroups) {
  Random random(9);
  const auto a = random_quantized(random, 4, 32, true, 40, 2500);
  const auto b = random_quantized(random, 8, 0, true, 50, 2500);
  const auto dense = dense_tensor(DType::bf16, 33, 2500, normals(random, 33 * 2500));
  const std::vector<PackedMatrix> w = {PackedMatrix::pack(a), PackedMatrix::pack(b),
                                       PackedMatrix::pack(dense)};
  const auto x = normals(random, 27 * 2500);
  std::vector<std::vector<float>> y;
  std::vector<Product> products;
  for (const auto& matrix : w) y.emplace_back(static_cast<size_t>(27 * matrix.rows()));
  for (size_t i = 0; i < 3; ++i) products.push_back({&w[i], y[i].data()});
  matmul(x.data(), 27, products, Activations::int8);
  expect_same_bytes(y[0], int8_reference(x, 27, a, 32));
  expect_same_bytes(y[1], int8_reference(x, 27, b, 128));
  expect_same_bytes(y[2], reference(x, 27, dense.floats(), 33, 2500));
}

TEST(Matmul, Int8ActivationsLetBadInputShow) {
  Random random(10);
  const auto odd = PackedMatrix::pack(random_quantized(random, 4, 12, true, 16, 48));
  auto x = normals(random, 48);
  std::vector<float> y(16);
  EXPECT_THROW(matmul(x.data(), 1, odd, y.data(), Activations::int8), Error);
  const auto even = PackedMatrix::pack(random_quantized(random, 4, 16, true, 16, 48));
  for (const float bad : {NAN, INFINITY}) {
    x[20] = bad;
    for (const KernelTable* table : variants()) {
      const KernelGuard guard;
      use_kernels(*table);
      matmul(x.data(), 1, even, y.data(), Activations::int8);
      for (const float v : y) EXPECT_FALSE(std::isfinite(v)) << table->name;
    }
  }
}

TEST(Matmul, SeveralProductsOfOneInputEqualEachAlone) {
  Random random(4);
  const int64_t cols = 96;
  std::vector<PackedMatrix> matrices;
  for (const int64_t rows : {33, 64, 7})
    matrices.push_back(
        PackedMatrix::pack(dense_tensor(DType::f32, rows, cols, normals(random, rows * cols))));
  for (const int64_t m : {1, 29}) {
    const auto x = normals(random, m * cols);
    std::vector<std::vector<float>> together, alone;
    std::vector<Product> products;
    for (const auto& w : matrices) {
      together.emplace_back(static_cast<size_t>(m * w.rows()));
      alone.push_back(together.back());
      matmul(x.data(), m, w, alone.back().data());
    }
    for (size_t i = 0; i < matrices.size(); ++i)
      products.push_back({&matrices[i], together[i].data()});
    matmul(x.data(), m, products);
    for (size_t i = 0; i < matrices.size(); ++i) expect_same_bytes(together[i], alone[i]);
  }
}

TEST(Matmul, DenormalsAndExtremesFollowTheDefinition) {
  Random random(5);
  std::vector<float> w = normals(random, 40 * 50, 1e-30);
  w[3] = 1e-45f;
  w[77] = 3e38f;
  const DenseTensor tensor = dense_tensor(DType::f32, 40, 50, w);
  check_exact(PackedMatrix::pack(tensor), w, random);
}

TEST(PackedMatrix, RowGivesTheRowBack) {
  Random random(6);
  const auto q = random_quantized(random, 4, 32, false, 45, 200);
  const auto w = dequantize(q);
  const PackedMatrix packed = PackedMatrix::pack(q);
  std::vector<float> row(200);
  for (const int64_t r : {0, 31, 32, 44}) {
    packed.row(r, row.data());
    EXPECT_EQ(0, std::memcmp(row.data(), w.data() + r * 200, 200 * sizeof(float)));
  }
}

TEST(PackedMatrix, KeepsCodesAndScalesSmall) {
  Random random(7);
  QuantizedMatrix q = random_quantized(random, 4, 32, true, 64, 256);
  for (float& s : q.scales) s = 0.5f;
  EXPECT_EQ(PackedMatrix::pack(q).bytes(), 64u * 256 / 2 + 64 * 8 * 2);
  q.scales[0] = 0.1f;  // not a half
  EXPECT_EQ(PackedMatrix::pack(q).bytes(), 64u * 256 / 2 + 64 * 8 * 4);
  EXPECT_EQ(PackedMatrix::pack(q).format(), "int4 g32 sym");
  EXPECT_TRUE(PackedMatrix::pack(q).quantized());
}

}  // namespace
}  // namespace attar
