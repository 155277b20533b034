#include "compress/kernels/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

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
