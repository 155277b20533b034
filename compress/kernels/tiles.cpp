#include "compress/kernels/tiles.h"

#include <algorithm>

#include "compress/base/threads.h"

namespace attar {

TiledRows::TiledRows(const float* x, int64_t rows, int64_t cols)
    : cols_(cols),
      data_(std::make_unique_for_overwrite<float[]>(static_cast<size_t>(rows * cols))) {
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  parallel_for(tiles, 1, [&](int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; ++tile) {
      const int64_t first = tile * kTileRows, count = std::min(kTileRows, rows - first);
      float* to = data_.get() + first * cols;
      constexpr int64_t kStretch =
          16;  // columns at a time: reads and writes both stay on few lines
      for (int64_t k = 0; k < cols; k += kStretch)
        for (int64_t r = 0; r < count; ++r) {
          const float* from = x + (first + r) * cols;
          for (int64_t i = k; i < std::min(cols, k + kStretch); ++i) to[i * count + r] = from[i];
        }
    }
  });
}

}  // namespace attar
