#include "compress/kernels/gram.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "compress/base/threads.h"
#include "compress/kernels/kernel_table.h"
#include "compress/kernels/tiles.h"

namespace attar {
namespace {

constexpr int64_t kRowChunk = 512;  // rows that are summed in float32
constexpr int64_t kSlice = 128;     // of them, the rows whose panels stay in the nearest cache

/// A chunk's columns in panels [panel][rows][Width], zero-filled.
template <int64_t Width>
std::unique_ptr<float[]> column_panels(const float* x, int64_t rows, int64_t cols) {
  const int64_t panels = (cols + Width - 1) / Width;
  auto out = std::make_unique_for_overwrite<float[]>(static_cast<size_t>(panels * rows * Width));
  parallel_for(rows, 32, [&](int64_t begin, int64_t end) {
    for (int64_t panel = 0; panel < panels; ++panel)
      for (int64_t r = begin; r < end; ++r) {
        const float* from = x + r * cols + panel * Width;
        float* to = out.get() + (panel * rows + r) * Width;
        if ((panel + 1) * Width <= cols)
          std::memcpy(to, from, Width * sizeof(float));
        else
          std::fill(std::copy_n(from, cols - panel * Width, to), to + Width, 0.0f);
      }
  });
  return out;
}

/// Both sides of a chunk's product, packed.
struct Chunk {
  const float* left;   // [panel][rows][kTileRows]
  const float* right;  // [panel][rows][kPanel]
  int64_t rows, left_cols, right_cols;
};

/// h[i, j] += Σ over the chunk's rows for the tile's i and all j from panel `first` on.
void add_tile(const Chunk& chunk, int64_t tile, int64_t first, double* h) {
  const int64_t panels = (chunk.right_cols + kPanel - 1) / kPanel;
  constexpr int64_t kSize = kTileRows * kPanel;
  static thread_local std::vector<float> sums;
  sums.resize(static_cast<size_t>((panels - first) * kSize));
  for (int64_t r = 0; r < chunk.rows; r += kSlice)
    for (int64_t panel = first; panel < panels; ++panel)
      kernels().tile(kTileRows, std::min(kSlice, chunk.rows - r),
                     chunk.left + (tile * chunk.rows + r) * kTileRows, kTileRows,
                     chunk.right + (panel * chunk.rows + r) * kPanel,
                     sums.data() + (panel - first) * kSize, kPanel, r > 0);
  const int64_t height = std::min(kTileRows, chunk.left_cols - tile * kTileRows);
  for (int64_t panel = first; panel < panels; ++panel) {
    const int64_t width = std::min(kPanel, chunk.right_cols - panel * kPanel);
    const float* from = sums.data() + (panel - first) * kSize;
    for (int64_t i = 0; i < height; ++i) {
      double* to = h + (tile * kTileRows + i) * chunk.right_cols + panel * kPanel;
      for (int64_t j = 0; j < width; ++j) to[j] += static_cast<double>(from[i * kPanel + j]);
    }
  }
}

/// h += AᵀB; with `upper`, only the panels that hold entries (i, j) with j ≥ i.
void accumulate(const float* a, int64_t a_cols, const float* b, int64_t b_cols, int64_t rows,
                bool upper, double* h) {
  for (int64_t r = 0; r < rows; r += kRowChunk) {
    const int64_t count = std::min(kRowChunk, rows - r);
    const auto left = column_panels<kTileRows>(a + r * a_cols, count, a_cols);
    const auto right = column_panels<kPanel>(b + r * b_cols, count, b_cols);
    const Chunk chunk{left.get(), right.get(), count, a_cols, b_cols};
    parallel_for((a_cols + kTileRows - 1) / kTileRows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t tile = begin; tile < end; ++tile)
        add_tile(chunk, tile, upper ? tile * kTileRows / kPanel : 0, h);
    });
  }
}

}  // namespace

void mirror_upper(int64_t cols, double* h) {
  // A square at a time.
  parallel_for((cols + kPanel - 1) / kPanel, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * kPanel; i < std::min(cols, end * kPanel); i += kPanel)
      for (int64_t j = 0; j <= i; j += kPanel)
        for (int64_t row = i; row < std::min(cols, i + kPanel); ++row)
          for (int64_t col = j; col < std::min(row, j + kPanel); ++col)
            h[row * cols + col] = h[col * cols + row];
  });
}

void accumulate_gram(const float* x, int64_t rows, int64_t cols, double* h) {
  accumulate(x, cols, x, cols, rows, true, h);
  mirror_upper(cols, h);
}

void accumulate_cross(const float* a, int64_t a_cols, const float* b, int64_t b_cols, int64_t rows,
                      double* h) {
  accumulate(a, a_cols, b, b_cols, rows, false, h);
}

}  // namespace attar
