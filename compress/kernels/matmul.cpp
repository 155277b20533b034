#include "compress/kernels/matmul.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <vector>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/kernels/products.h"
#include "compress/kernels/storage.h"
#include "compress/kernels/tiles.h"

namespace attar {
namespace {

void multiply_row(const float* x, std::span<const Product> products) {
  const auto ends = running_totals(products, [](const PackedMatrix::Storage& w) {
    return (w.panels() + kGemvPanels - 1) / kGemvPanels;
  });
  parallel_for(ends.back(), grain_for(ends.back()), [&](int64_t begin, int64_t end) {
    alignas(64) float out[kGemvPanels * kPanel];
    for (int64_t index = begin; index < end; ++index) {
      const auto [product, unit] = find_place(ends, index);
      const auto& w = products[product].w->storage();
      const int64_t panel = unit * kGemvPanels;
      kernels().gemv(w.view, panel, std::min(kGemvPanels, w.panels() - panel), x, out);
      const int64_t row = panel * kPanel;
      const int64_t count = std::min(kGemvPanels * kPanel, w.view.rows - row);
      std::memcpy(products[product].y + row, out, static_cast<size_t>(count) * sizeof(float));
    }
  });
}

/// One panel's outputs for the rows of x from `first` to `last` (in tiles): y (+)= x · panelᵀ.
void multiply_panel(const TiledRows& x, const PackedView& w, int64_t panel, int64_t first,
                    int64_t last, float* y) {
  constexpr int64_t kDepth = 256;  // 32 KiB of floats: stays in the first- or second-level cache
  alignas(64) static thread_local float copy[kDepth * kPanel];
  alignas(64) float partial[kTileRows * kPanel];
  const int64_t width = std::min(kPanel, w.rows - panel * kPanel);
  for (int64_t k = 0; k < w.cols; k += kDepth) {
    const int64_t depth = std::min(kDepth, w.cols - k);
    const float* columns = copy;
    if (w.format == PackedFormat::f32)
      columns = reinterpret_cast<const float*>(w.data + panel * w.panel_bytes) + k * kPanel;
    else
      kernels().widen(w, panel, k, k + depth, copy);
    for (int64_t row = first; row < last; row += kTileRows) {
      const int64_t rows = std::min(kTileRows, last - row);
      float* out = y + row * w.rows + panel * kPanel;
      const float* tile = x.tile(row) + k * rows;
      if (width == kPanel) {
        kernels().tile(rows, depth, tile, rows, columns, out, w.rows, k > 0);
        continue;
      }
      for (int64_t r = 0; r < rows && k > 0; ++r)
        std::copy_n(out + r * w.rows, width, partial + r * kPanel);
      kernels().tile(rows, depth, tile, rows, columns, partial, kPanel, k > 0);
      for (int64_t r = 0; r < rows; ++r) std::copy_n(partial + r * kPanel, width, out + r * w.rows);
    }
  }
}

void multiply_rows(const float* x, int64_t m, std::span<const Product> products) {
  const TiledRows tiles(x, m, products[0].w->cols());
  // Enough rows that a widened panel pays, few enough that all threads have work.
  constexpr int64_t kRows = 16 * kTileRows;
  const int64_t blocks = (m + kRows - 1) / kRows;
  const auto ends =
      running_totals(products, [&](const PackedMatrix::Storage& w) { return w.panels() * blocks; });
  parallel_for(ends.back(), grain_for(ends.back()), [&](int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const auto [product, unit] = find_place(ends, index);
      const PackedView& w = products[product].w->storage().view;
      const int64_t panels = (w.rows + kPanel - 1) / kPanel;
      const int64_t first = unit / panels * kRows;
      multiply_panel(tiles, w, unit % panels, first, std::min(m, first + kRows),
                     products[product].y);
    }
  });
}

}  // namespace

std::string_view to_string(Activations activations) {
  switch (activations) {
    case Activations::int16:
      return "int16";
    case Activations::int8:
      return "int8";
    case Activations::exact:
      break;
  }
  return "exact";
}

Activations parse_activations(std::string_view name, const std::string& where) {
  for (const auto kind : {Activations::exact, Activations::int16, Activations::int8})
    if (to_string(kind) == name) return kind;
  throw bad_input("unknown kind of activations '" + std::string(name) + "'", where,
                  "known: exact, int16, int8");
}

void matmul(const float* x, int64_t m, std::span<const Product> products, Activations activations) {
  std::vector<Product> exact;
  std::vector<IntegerProduct> integer;
  for (const auto& product : products) {
    assert(product.w->cols() == products[0].w->cols());
    if (const auto way = integer_way(*product.w, activations))
      integer.push_back({product, *way});
    else
      exact.push_back(product);
  }
  if (m == 0) return;
  if (!integer.empty()) multiply_integers(x, m, integer);
  if (exact.empty()) return;
  if (m == 1)
    multiply_row(x, exact);
  else
    multiply_rows(x, m, exact);
}

void matmul(const float* x, int64_t m, const PackedMatrix& w, float* y, Activations activations) {
  const Product product{&w, y};
  matmul(x, m, std::span(&product, 1), activations);
}

}  // namespace attar
