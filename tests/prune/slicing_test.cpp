#include "prune/slicing.h"

#include <gtest/gtest.h>

#include <cstring>

namespace attar {
namespace {

template <class T>
std::vector<T> as(const std::vector<std::byte>& bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

TEST(Slicing, KeepsRowsAndColumnsOfAnyElementSize) {
  const std::vector<uint16_t> half = {1, 2, 3, 4, 5, 6};
  const std::vector<float> full = {1, 2, 3, 4, 5, 6};
  const std::vector<int64_t> rows = {0, 2}, columns = {1};
  EXPECT_EQ(as<uint16_t>(keep_rows(std::as_bytes(std::span(half)), 4, rows)),
            (std::vector<uint16_t>{1, 2, 5, 6}));
  EXPECT_EQ(as<float>(keep_columns(std::as_bytes(std::span(full)), 2, 4, columns)),
            (std::vector<float>{2, 4, 6}));
}

TEST(Slicing, UnitsOwnConsecutiveElements) {
  const std::vector<int64_t> units = {0, 3};
  EXPECT_EQ(elements_of(units, 2), (std::vector<int64_t>{0, 1, 6, 7}));
}

}  // namespace
}  // namespace attar
