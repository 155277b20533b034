#include "compress/runtime/linears.h"

#include <cmath>
#include <vector>

namespace attar {

void multiply(const float* x, int64_t rows, std::initializer_list<Reader> readers,
              Activations activations, const LinearObserver& observer) {
  std::vector<Product> products;
  for (const auto& reader : readers) {
    if (observer) observer(reader.linear.spec, x, rows);
    products.push_back({&reader.linear.weight, reader.y});
  }
  matmul(x, rows, products, activations);
  for (const auto& reader : readers) reader.linear.add_bias(reader.y, rows);
}

void soft_cap(float* x, int64_t count, float cap) {
  for_values(count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) x[i] = cap * std::tanh(x[i] / cap);
  });
}

void add(float* to, const float* from, int64_t count) {
  for_values(count, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] += from[i];
  });
}

}  // namespace attar
