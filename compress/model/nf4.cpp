#include "compress/model/nf4.h"

#include <algorithm>
#include <cmath>

#include "compress/base/float_types.h"
#include "compress/formats/nf4.h"

namespace attar {

namespace {

const std::span<const float, 16> kNf4Levels = level_values(Levels::nf4);

constexpr int64_t kNestedBlock = 256;

/// 256 values dense around 0: {0, 1} and, for i = 0 … 6, the midpoints of 2^i equal parts of [0.1,
/// 1] times 10^(i − 6), with both signs (Dettmers: 8-Bit Approximations for Parallelism, 2015).
const std::array<float, 256>& dynamic_map() {
  static const std::array<float, 256> map = [] {
    std::vector<double> values = {0.0, 1.0};
    for (int i = 0; i < 7; ++i) {
      const int parts = 1 << i;
      for (int j = 0; j < parts; ++j) {
        const double middle = 0.1 + 0.9 * (j + 0.5) / parts;
        for (const double sign : {-1.0, 1.0}) values.push_back(sign * middle * std::pow(10, i - 6));
      }
    }
    std::sort(values.begin(), values.end());
    std::array<float, 256> result{};
    for (size_t i = 0; i < result.size(); ++i) result[i] = static_cast<float>(values[i]);
    return result;
  }();
  return map;
}

/// Index of the nearest value of an ascending table; the lower one of two equally near.
uint8_t nearest_in(const std::array<float, 256>& table, float x) {
  const auto above = std::lower_bound(table.begin(), table.end(), x);
  if (above == table.begin()) return 0;
  if (above == table.end()) return static_cast<uint8_t>(table.size() - 1);
  const auto index = above - table.begin();
  return static_cast<uint8_t>(x - *(above - 1) <= *above - x ? index - 1 : index);
}

void quantize_scales(Nf4Matrix& matrix, std::vector<float> scales) {
  double sum = 0;
  for (const float s : scales) sum += static_cast<double>(s);
  matrix.offset = static_cast<float>(sum / static_cast<double>(scales.size()));
  for (float& s : scales) s -= matrix.offset;
  matrix.scale_codes.resize(scales.size());
  for (size_t begin = 0; begin < scales.size(); begin += kNestedBlock) {
    const size_t end = std::min(scales.size(), begin + kNestedBlock);
    float largest = 0;
    for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::abs(scales[i]));
    matrix.nested_scales.push_back(largest);
    const float inverse = largest > 0 ? 1.0f / largest : 0.0f;
    for (size_t i = begin; i < end; ++i)
      matrix.scale_codes[i] = nearest_in(dynamic_map(), scales[i] * inverse);
  }
}

void put(float& to, float x) {
  to = x;
}
void put(kernel::Bf16& to, float x) {
  to.bits = to_bfloat16(x);
}

template <class T>
void dequantize_rows(const Nf4Matrix& m, int64_t begin, int64_t end, T* to, int64_t stride) {
  for (int64_t row = begin; row < end; ++row, to += stride) {
    const int64_t first = row * m.cols;
    for (int64_t i = 0; i < m.cols;) {
      const int64_t at = first + i, block = at / m.block;
      const int64_t stop = std::min(m.cols, i + (block + 1) * m.block - at);
      const float scale = m.scale(block);
      for (; i < stop; ++i) {
        const int64_t element = first + i;
        const uint8_t both = m.packed[static_cast<size_t>(element / 2)];
        put(to[i], kNf4Levels[element % 2 ? both & 15u : both >> 4] * scale);
      }
    }
  }
}

}  // namespace

float Nf4Matrix::scale(int64_t index) const {
  const auto i = static_cast<size_t>(index);
  return dynamic_map()[scale_codes[i]] * nested_scales[i / kNestedBlock] + offset;
}

Nf4Matrix quantize_nf4(std::span<const float> values, int64_t rows, int64_t cols, int64_t block) {
  Nf4Matrix matrix;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.block = block;
  matrix.packed.resize((values.size() + 1) / 2);
  std::vector<float> scales;
  const auto step = static_cast<size_t>(block);
  std::vector<uint8_t> codes(step);
  for (size_t begin = 0; begin < values.size(); begin += step) {
    const size_t count = std::min(values.size() - begin, step);
    scales.push_back(round_to_nf4(values.subspan(begin, count), codes.data()));
    for (size_t i = 0; i < count; ++i) {
      const size_t at = begin + i;
      matrix.packed[at / 2] =
          static_cast<uint8_t>(matrix.packed[at / 2] | codes[i] << (at % 2 ? 0 : 4));
    }
  }
  quantize_scales(matrix, std::move(scales));
  return matrix;
}

void dequantize_nf4(const Nf4Matrix& matrix, int64_t begin, int64_t end, float* to,
                    int64_t stride) {
  dequantize_rows(matrix, begin, end, to, stride);
}
void dequantize_nf4(const Nf4Matrix& matrix, int64_t begin, int64_t end, kernel::Bf16* to,
                    int64_t stride) {
  dequantize_rows(matrix, begin, end, to, stride);
}

}  // namespace attar
