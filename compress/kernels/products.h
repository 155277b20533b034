// How the work of several products with one input is cut into units for the threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "compress/base/threads.h"
#include "compress/kernels/kernel_table.h"
#include "compress/kernels/matmul.h"
#include "compress/kernels/storage.h"

namespace attar {

/// Unit `index` of all products' units laid end to end.
struct Place {
  size_t product;
  int64_t unit;
};
inline Place find_place(std::span<const int64_t> ends, int64_t index) {
  const size_t product =
      static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), index) - ends.begin());
  return {product, index - (product == 0 ? 0 : ends[product - 1])};
}

template <class F>
std::vector<int64_t> running_totals(std::span<const Product> products, F units) {
  std::vector<int64_t> ends;
  int64_t total = 0;
  for (const auto& product : products) ends.push_back(total += units(product.w->storage()));
  return ends;
}

/// About eight pieces a thread: small enough to even out, large enough to stream.
inline int64_t grain_for(int64_t units) {
  return std::max<int64_t>(1, units / (8 * thread_count()));
}

/// How x enters an integer product.
struct IntegerWay {
  Rounding rounding;
  int64_t segment;  // columns that are summed as integers
  friend bool operator==(const IntegerWay&, const IntegerWay&) = default;
};
/// nullopt: the product is computed in floats (dense weights; groups that are no multiple of
/// 8). bad_input: int8 activations and such groups.
std::optional<IntegerWay> integer_way(const PackedMatrix& w, Activations activations);

struct IntegerProduct {
  Product product;
  IntegerWay way;
};
void multiply_integers(const float* x, int64_t m, std::span<const IntegerProduct> products);

}  // namespace attar
