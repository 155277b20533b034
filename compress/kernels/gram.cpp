#include "compress/kernels/gram.h"

#include <algorithm>
#include <memory>

#include "compress/base/threads.h"
#include "compress/kernels/kernel_table.h"
#include "compress/kernels/tiles.h"

namespace attar {
namespace {

constexpr int64_t kRowChunk = 512;

/// A chunk's columns in panels [panel][rows][32], zero-filled.
std::unique_ptr<float[]> column_panels(const float* x, int64_t rows, int64_t cols) {
  const int64_t panels = (cols + kPanel - 1) / kPanel;
  auto out = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(panels * rows * kPanel));
  parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel)
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t width = std::min(kPanel, cols - panel * kPanel);
        float* to = out.get() + (panel * rows + r) * kPanel;
        std::fill(std::copy_n(x + r * cols + panel * kPanel, width, to), to + kPanel, 0.0f);
      }
  });
  return out;
}

/// Adds one panel's products with the columns of panels at or after it... in rows of h: entry (i,
/// j) for i in this panel and j ≥ this panel's first column.
void add_panel(const float* panels, int64_t rows, int64_t cols, int64_t panel, double* h) {
  const int64_t count = (cols + kPanel - 1) / kPanel;
  const float* left = panels + panel * rows * kPanel;
  alignas(64) float product[kPanel * kPanel];
  const int64_t height = std::min(kPanel, cols - panel * kPanel);
  for (int64_t other = panel; other < count; ++other) {
    const int64_t width = std::min(kPanel, cols - other * kPanel);
    for (int64_t i = 0; i < kPanel; i += kTileRows)
      kernels().tile(std::min(kTileRows, kPanel - i), rows, left + i, kPanel,
                     panels + other * rows * kPanel, product + i * kPanel, kPanel, false);
    for (int64_t i = 0; i < height; ++i) {
      double* to = h + (panel * kPanel + i) * cols + other * kPanel;
      for (int64_t j = 0; j < width; ++j) to[j] += static_cast<double>(product[i * kPanel + j]);
    }
  }
}

void mirror(int64_t cols, double* h) {
  parallel_for((cols + kPanel - 1) / kPanel, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * kPanel; i < std::min(cols, end * kPanel); ++i)
      for (int64_t j = 0; j < i; ++j) h[i * cols + j] = h[j * cols + i];
  });
}

}  // namespace

void accumulate_gram(const float* x, int64_t rows, int64_t cols, double* h) {
  const int64_t count = (cols + kPanel - 1) / kPanel;
  for (int64_t r = 0; r < rows; r += kRowChunk) {
    const int64_t chunk = std::min(kRowChunk, rows - r);
    const auto panels = column_panels(x + r * cols, chunk, cols);
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; ++panel)
        add_panel(panels.get(), chunk, cols, panel, h);
    });
  }
  mirror(cols, h);
}

}  // namespace attar
