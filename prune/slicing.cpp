#include "prune/slicing.h"

#include <cassert>
#include <cstring>

namespace attar {

std::vector<int64_t> elements_of(std::span<const int64_t> units, int64_t per_unit) {
  std::vector<int64_t> elements;
  elements.reserve(units.size() * static_cast<size_t>(per_unit));
  for (const int64_t unit : units)
    for (int64_t i = 0; i < per_unit; ++i) elements.push_back(unit * per_unit + i);
  return elements;
}

std::vector<std::byte> keep_rows(std::span<const std::byte> matrix, int64_t row_bytes,
                                 std::span<const int64_t> kept) {
  std::vector<std::byte> result(kept.size() * static_cast<size_t>(row_bytes));
  for (size_t i = 0; i < kept.size(); ++i) {
    assert((kept[i] + 1) * row_bytes <= static_cast<int64_t>(matrix.size()));
    std::memcpy(result.data() + i * static_cast<size_t>(row_bytes),
                matrix.data() + kept[i] * row_bytes, static_cast<size_t>(row_bytes));
  }
  return result;
}

std::vector<std::byte> keep_columns(std::span<const std::byte> matrix, int64_t cols,
                                    int64_t element, std::span<const int64_t> kept) {
  const int64_t row_bytes = cols * element;
  const int64_t rows = static_cast<int64_t>(matrix.size()) / row_bytes;
  std::vector<std::byte> result(static_cast<size_t>(rows * element) * kept.size());
  std::byte* to = result.data();
  for (int64_t row = 0; row < rows; ++row)
    for (const int64_t column : kept) {
      assert(column < cols);
      std::memcpy(to, matrix.data() + row * row_bytes + column * element,
                  static_cast<size_t>(element));
      to += element;
    }
  return result;
}

}  // namespace attar
