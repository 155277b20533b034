#include "compress/kernels/matmul.h"

#include <gtest/gtest.h>

#include <array>
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

/// What stands beside the scales of a quantized matrix.
enum class Form { symmetric, zeros, offsets, byte_scales, byte_offsets };
constexpr std::array kForms = {Form::symmetric, Form::zeros, Form::offsets, Form::byte_scales,
                               Form::byte_offsets};

/// Small integers times units that `unit_groups` of them share.
std::vector<float> in_units(Random& random, int64_t count, int64_t unit_groups,
                            std::vector<float>& units) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    if (i % unit_groups == 0)
      units.push_back(
          from_float16(to_float16(static_cast<float>(0.02 * (random.uniform() - 0.3)))));
    values.push_back(units.back() * static_cast<float>(static_cast<int>(random.below(256)) - 128));
  }
  return values;
}

QuantizedMatrix random_quantized(Random& random, int bits, int64_t group, Form form, int64_t rows,
                                 int64_t cols) {
  QuantizedMatrix q;
  q.layout = {bits, group, form == Form::symmetric || form == Form::byte_scales, DType::f32};
  q.rows = rows;
  q.cols = cols;
  for (int64_t i = 0; i < rows * cols; ++i)
    q.codes.push_back(static_cast<uint8_t>(random.below(uint64_t{1} << bits)));
  if (form == Form::byte_scales || form == Form::byte_offsets) {
    q.unit_groups = std::min<int64_t>(16, q.groups() & -q.groups());
    q.scales = in_units(random, rows * q.groups(), q.unit_groups, q.scale_units);
    if (form == Form::byte_offsets)
      q.offsets = in_units(random, rows * q.groups(), q.unit_groups, q.offset_units);
    return q;
  }
  const bool half = random.below(2) == 0;
  const auto rounded = [&](double value) {
    const auto narrow = static_cast<float>(value);
    return half ? from_float16(to_float16(narrow)) : narrow;
  };
  for (int64_t i = 0; i < rows * q.groups(); ++i) {
    q.scales.push_back(rounded(0.01 + random.uniform()));
    if (form == Form::zeros)
      q.zeros.push_back(static_cast<uint8_t>(random.below(uint64_t{1} << bits)));
    if (form == Form::offsets) q.offsets.push_back(rounded(random.normal()));
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

/// Every instruction set and thread count gives the bytes of `expected` [m, rows].
void check_bytes(const PackedMatrix& packed, const std::vector<float>& x, int64_t m,
                 const std::vector<float>& expected, Activations activations) {
  const KernelGuard guard;
  const auto first = std::vector(expected.begin(), expected.begin() + packed.rows());
  for (const KernelTable* table : variants()) {
    SCOPED_TRACE(table->name);
    use_kernels(*table);
    for (const int threads : {1, 3}) {
      set_thread_count(threads);
      std::vector<float> y(expected.size(), NAN), row(first.size(), NAN);
      matmul(x.data(), m, packed, y.data(), activations);
      expect_same_bytes(y, expected);
      matmul(x.data(), 1, packed, row.data(), activations);
      expect_same_bytes(row, first);
    }
  }
}

void check_exact(const PackedMatrix& packed, const std::vector<float>& w, Random& random) {
  const int64_t m = 1 + static_cast<int64_t>(random.below(40));
  const std::vector<float> x = normals(random, m * packed.cols());
  check_bytes(packed, x, m, reference(x, m, w, packed.rows(), packed.cols()), Activations::exact);
}

/// Rows of x as sums of `n` int8 rows times their scales; `row_scale`: one scale for a whole row.
struct Codes {
  int n;
  bool row_scale = false;
};
/// The definition of integer products: segments of the row, exact integer sums, one chain of fused
/// steps for every int8 row; then the chains' sum, smallest first; then a step for every offset, or
/// for what a zero differs from the middle by.
std::vector<float> integer_reference(const std::vector<float>& x, int64_t m,
                                     const QuantizedMatrix& q, int64_t segment, Codes codes) {
  const float most = 127.0f * static_cast<float>(1 << (7 * (codes.n - 1)));
  const auto at = [](int64_t row, int64_t stride, int64_t k) {
    return static_cast<size_t>(row * stride + k);
  };
  const auto largest_in = [&](int64_t i, int64_t begin, int64_t end) {
    float largest = 0;
    for (int64_t k = begin; k < end; ++k)
      largest = std::max(largest, std::abs(x[at(i, q.cols, k)]));
    return largest;
  };
  const int32_t center = q.offsets.empty() ? 1 << (q.layout.bits - 1) : 0;
  const auto offset = [&](int64_t n, int64_t g) {
    return q.zeros.empty()
               ? q.offsets[at(n, q.groups(), g)]
               : static_cast<float>(center - q.zero(n, g)) * q.scales[at(n, q.groups(), g)];
  };
  std::vector<float> y;
  for (int64_t i = 0; i < m; ++i)
    for (int64_t n = 0; n < q.rows; ++n) {
      std::array<float, 3> chains{};
      std::vector<float> group_sums(static_cast<size_t>(q.groups()));
      for (int64_t begin = 0; begin < q.cols; begin += segment) {
        const int64_t end = std::min(begin + segment, q.cols), g = begin / q.group();
        const float largest =
            codes.row_scale ? largest_in(i, 0, q.cols) : largest_in(i, begin, end);
        std::array<int32_t, 3> sums{};
        int64_t total = 0;
        for (int64_t k = begin; k < end && largest > 0; ++k) {
          auto number =
              static_cast<int32_t>(std::nearbyint(x[at(i, q.cols, k)] * (most / largest)));
          total += number;
          const int32_t code = q.codes[at(n, q.cols, k)] - center;
          for (int d = 0; d < codes.n; ++d) {
            const int32_t digit = d + 1 == codes.n ? number : (number + 64 + (1 << 28)) % 128 - 64;
            number = (number - digit) / 128;
            sums[static_cast<size_t>(d)] += code * digit;
          }
        }
        float scale = largest / most;
        group_sums[static_cast<size_t>(g)] += scale * static_cast<float>(total);
        for (size_t d = 0; d < static_cast<size_t>(codes.n); ++d, scale *= 128)
          chains[d] = std::fma(static_cast<float>(sums[d]), q.scales[at(n, q.groups(), g)] * scale,
                               chains[d]);
      }
      y.push_back(codes.n == 3   ? chains[2] + (chains[1] + chains[0])
                  : codes.n == 2 ? chains[1] + chains[0]
                                 : chains[0]);
      for (int64_t g = 0; g < q.groups() && !(q.offsets.empty() && q.zeros.empty()); ++g)
        y.back() = std::fma(offset(n, g), group_sums[static_cast<size_t>(g)], y.back());
    }
  return y;
}

std::vector<float> int8_reference(const std::vector<float>& x, int64_t m, const QuantizedMatrix& q,
                                  int64_t segment) {
  return integer_reference(x, m, q, segment, {1});
}

/// The definition for codes that stand for levels: a product for every base-128 digit of the
/// levels, as many as x has, the highest first, put together as 128 · sum + next.
std::vector<float> level_reference(const std::vector<float>& x, int64_t m, const QuantizedMatrix& q,
                                   int64_t segment, int digits) {
  std::array<float, 16> levels;
  std::ranges::copy(level_values(q.layout.levels), levels.begin());
  const bool whole = q.layout.levels == Levels::iq4;
  const float unit = whole ? 1.0f : 1.0f / (127.0f * static_cast<float>(1 << (7 * (digits - 1))));
  std::vector<float> y;
  for (int d = whole ? 1 : digits; d-- > 0;) {
    QuantizedMatrix part = q;
    part.layout.levels = Levels::integers;
    part.layout.bits = 8;
    for (uint8_t& code : part.codes) {
      auto number = static_cast<int>(std::nearbyint(levels[code] / unit));
      for (int i = 0; i < d; ++i) number = (number + 64 + (1 << 28)) / 128 - (1 << 21);
      const bool highest = whole || d + 1 == digits;
      code = static_cast<uint8_t>(128 + (highest ? number : (number + 64 + (1 << 28)) % 128 - 64));
    }
    const auto next = integer_reference(x, m, part, segment, {digits});
    if (y.empty()) y.resize(next.size());
    for (size_t i = 0; i < y.size(); ++i) y[i] = 128 * y[i] + next[i];
  }
  for (float& v : y) v *= unit;
  return y;
}

/// Within `share` of each factor's largest magnitude in a segment, and a few roundings of the whole
/// sum. Codes and offsets count one by one.
void expect_near_float64(const std::vector<float>& y, const std::vector<float>& x, int64_t m,
                         const QuantizedMatrix& q, int64_t segment, double share) {
  const auto w = dequantize(q);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t n = 0; n < q.rows; ++n) {
      double sum = 0, bound = 0;
      for (int64_t begin = 0; begin < q.cols; begin += segment) {
        double largest = 0, weights = 0, offset = 0;
        if (!q.offsets.empty())
          offset = static_cast<double>(
              q.offsets[static_cast<size_t>(n * q.groups() + begin / q.group())]);
        for (int64_t k = begin; k < std::min(begin + segment, q.cols); ++k) {
          const auto a = static_cast<double>(x[static_cast<size_t>(i * q.cols + k)]);
          const auto b = static_cast<double>(w[static_cast<size_t>(n * q.cols + k)]);
          sum += a * b;
          largest = std::max(largest, std::abs(a));
          weights += std::abs(b - offset) + std::abs(offset);
        }
        bound += largest * weights;
      }
      ASSERT_NEAR(static_cast<double>(y[static_cast<size_t>(i * q.rows + n)]), sum,
                  bound * share + 1e-30);
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
  const auto q = random_quantized(random, 4, 44, Form::zeros, 70, 1111);
  check_exact(PackedMatrix::pack(q), dequantize(q), random);
}

TEST(Matmul, ExactProductsOfQuantizedMatricesEqualTheirDefinition) {
  Random random(3);
  const std::vector<std::pair<int64_t, int64_t>> groups = {
      // group, segment; 0: float steps, the bytes of the dequantized matrix
      {0, 128}, {1, 0},   {5, 0},   {8, 8},     {12, 0},
      {16, 16}, {32, 32}, {64, 64}, {128, 128}, {256, 128}};
  for (const int bits : {2, 3, 4, 5, 8})
    for (const auto& [group, length] : groups)
      for (const Form form : kForms) {
        const int64_t rows = dimension(random), cols = dimension(random);
        const auto q = random_quantized(random, bits, group, form, rows, cols);
        SCOPED_TRACE(::testing::Message() << q.layout.name() << ", form " << static_cast<int>(form)
                                          << " " << rows << " x " << cols);
        const int64_t segment = q.groups() == 1 ? 128 : length;
        const PackedMatrix packed = PackedMatrix::pack(q);
        if (segment == 0) {
          check_exact(packed, dequantize(q), random);
          continue;
        }
        const int64_t m = 1 + static_cast<int64_t>(random.below(20));
        auto x = normals(random, m * cols);
        x[static_cast<size_t>(random.below(x.size()))] = 1000;  // an outlier
        const auto expected = integer_reference(x, m, q, segment, {3});
        check_bytes(packed, x, m, expected, Activations::exact);
        expect_near_float64(expected, x, m, q, segment, 0x1p-21);  // as a float32 sum
        const auto shorter = integer_reference(x, m, q, segment, {2});
        check_bytes(packed, x, m, shorter, Activations::int16);
        expect_near_float64(shorter, x, m, q, segment, 0x1p-15);
      }
}

TEST(Matmul, LevelsEqualTheirDefinitionOnEveryInstructionSet) {
  Random random(13);
  const std::vector<std::pair<int64_t, int64_t>> groups = {
      // group, segment; 0: float steps
      {0, 128}, {12, 0}, {8, 8}, {32, 32}, {64, 64}, {160, 80}, {256, 128}};
  for (const Levels levels : {Levels::nf4, Levels::fp4, Levels::iq4})
    for (const auto& [group, length] : groups)
      for (const Form form : {Form::symmetric, Form::byte_scales})
        for (const int64_t more : {0, 600}) {
          const int64_t rows = dimension(random), cols = more + dimension(random);
          auto q = random_quantized(random, 4, group, form, rows, cols);
          q.layout.levels = levels;
          SCOPED_TRACE(::testing::Message() << q.layout.name() << " " << rows << " x " << cols);
          const PackedMatrix packed = PackedMatrix::pack(q);
          const int64_t segment = q.groups() == 1 ? 128 : length;
          if (segment == 0) {
            check_exact(packed, dequantize(q), random);
            continue;
          }
          const int64_t m = 1 + static_cast<int64_t>(random.below(20));
          const auto x = normals(random, m * cols);
          const std::vector<std::pair<Activations, double>> ways = {{Activations::exact, 0x1p-19},
                                                                    {Activations::int16, 0x1p-12},
                                                                    {Activations::int8, 0x1p-5}};
          for (size_t i = 0; i < ways.size(); ++i) {
            const auto expected = level_reference(x, m, q, segment, 3 - static_cast<int>(i));
            check_bytes(packed, x, m, expected, ways[i].first);
            expect_near_float64(expected, x, m, q, segment, ways[i].second);
          }
        }
}

TEST(Matmul, WeightsMadeForInt8InputsTakeOneScaleARow) {
  Random random(11);
  for (const int bits : {4, 8})
    for (const int64_t group : {0, 32, 200})
      for (const Form form : kForms) {
        const int64_t rows = dimension(random), cols = 300 + dimension(random), m = 17;
        auto q = random_quantized(random, bits, group, form, rows, cols);
        q.layout.int8_inputs = true;
        SCOPED_TRACE(::testing::Message() << q.layout.name() << ", form " << static_cast<int>(form)
                                          << " " << rows << " x " << cols);
        auto x = normals(random, m * cols);
        const auto expected =
            integer_reference(x, m, q, group == 0 ? (cols + 7) / 8 * 8 : group, {1, true});
        for (const auto activations : {Activations::exact, Activations::int16, Activations::int8})
          check_bytes(PackedMatrix::pack(q), x, m, expected, activations);
      }
  auto odd = random_quantized(random, 8, 12, Form::symmetric, 8, 48);
  odd.layout.int8_inputs = true;
  EXPECT_THROW(PackedMatrix::pack(odd), Error);
}

TEST(Matmul, Int8ActivationsEqualTheirDefinitionOnEveryInstructionSet) {
  Random random(8);
  const KernelGuard guard;
  const std::vector<std::pair<int64_t, int64_t>> groups = {
      // group, segment
      {0, 128}, {8, 8}, {16, 16}, {32, 32}, {48, 48}, {64, 64}, {128, 128}, {160, 80}, {256, 128}};
  for (const int bits : {2, 4, 7, 8})
    for (const auto& [group, segment] : groups)
      for (const Form form : kForms) {
        const int64_t rows = dimension(random), cols = dimension(random);
        const int64_t m = 1 + static_cast<int64_t>(random.below(30));
        auto q = random_quantized(random, bits, group, form, rows, cols);
        if (random.below(3) == 0)  // extremes: every sum at its limit
          std::fill(q.codes.begin(), q.codes.end(), static_cast<uint8_t>((1 << bits) - 1));
        SCOPED_TRACE(::testing::Message() << q.layout.name() << ", form " << static_cast<int>(form)
                                          << " " << rows << " x " << cols);
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
  const auto a = random_quantized(random, 4, 32, Form::symmetric, 40, 2500);
  const auto b = random_quantized(random, 8, 0, Form::symmetric, 50, 2500);
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
  // More offsets than are widened at once.
  const auto many = random_quantized(random, 4, 8, Form::byte_offsets, 40, 2500);
  check_bytes(PackedMatrix::pack(many), x, 27, int8_reference(x, 27, many, 8), Activations::int8);
}

TEST(Matmul, Int8ActivationsLetBadInputShow) {
  Random random(10);
  const auto odd = PackedMatrix::pack(random_quantized(random, 4, 12, Form::symmetric, 16, 48));
  auto x = normals(random, 48);
  std::vector<float> y(16);
  EXPECT_THROW(matmul(x.data(), 1, odd, y.data(), Activations::int8), Error);
  const auto even = PackedMatrix::pack(random_quantized(random, 4, 16, Form::symmetric, 16, 48));
  for (const float bad : {NAN, INFINITY}) {
    x[20] = bad;
    for (const KernelTable* table : variants())
      for (const auto activations : {Activations::exact, Activations::int16, Activations::int8}) {
        const KernelGuard guard;
        use_kernels(*table);
        matmul(x.data(), 1, even, y.data(), activations);
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
  for (const Form form : kForms) {
    const auto q = random_quantized(random, 4, 32, form, 45, 200);
    const auto w = dequantize(q);
    const PackedMatrix packed = PackedMatrix::pack(q);
    std::vector<float> row(200);
    for (const int64_t r : {0, 31, 32, 44}) {
      packed.row(r, row.data());
      EXPECT_EQ(row, std::vector(w.begin() + r * 200, w.begin() + (r + 1) * 200));
    }
  }
}

TEST(PackedMatrix, GivesRowsOfLevels) {
  Random random(14);
  auto q = random_quantized(random, 4, 24, Form::symmetric, 45, 200);
  q.layout.levels = Levels::nf4;
  const auto w = dequantize(q);
  const PackedMatrix packed = PackedMatrix::pack(q);
  EXPECT_EQ(packed.format(), "nf4 g24");
  std::vector<float> row(200);
  for (const int64_t r : {0, 31, 44}) {
    packed.row(r, row.data());
    EXPECT_EQ(row, std::vector(w.begin() + r * 200, w.begin() + (r + 1) * 200));
  }
}

TEST(PackedMatrix, KeepsCodesAndScalesSmall) {
  Random random(7);
  QuantizedMatrix q = random_quantized(random, 4, 32, Form::symmetric, 64, 256);
  for (float& s : q.scales) s = 0.5f;
  EXPECT_EQ(PackedMatrix::pack(q).bytes(), 64u * 256 / 2 + 64 * 8 * 2);
  q.scales[0] = 0.1f;  // not a half
  EXPECT_EQ(PackedMatrix::pack(q).bytes(), 64u * 256 / 2 + 64 * 8 * 4);
  EXPECT_EQ(PackedMatrix::pack(q).format(), "int4 g32 sym");
  EXPECT_TRUE(PackedMatrix::pack(q).quantized());
}

TEST(PackedMatrix, KeepsScalesInUnitsInAByteEach) {
  Random random(12);
  auto q = random_quantized(random, 4, 32, Form::byte_offsets, 64, 256);
  ASSERT_EQ(q.unit_groups, 8);
  EXPECT_EQ(PackedMatrix::pack(q).bytes(), 64u * 256 / 2 + 64 * 8 * 2 + 64 * 2 * 2);
  q = random_quantized(random, 6, 16, Form::byte_scales, 64, 256);
  ASSERT_EQ(q.unit_groups, 16);
  EXPECT_EQ(PackedMatrix::pack(q).bytes(), 64u * 256 + 64 * 16 + 64 * 2);
}

}  // namespace
}  // namespace attar
