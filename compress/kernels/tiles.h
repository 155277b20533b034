// Rows rearranged so that a tile kernel reads them as one stream.
#pragma once

#include <cstdint>
#include <memory>

namespace attar {

inline constexpr int64_t kTileRows = 12;  // rows in a tile; the last may have fewer

/// x [rows, cols] as tiles [cols][kTileRows].
class TiledRows {
 public:
  TiledRows(const float* x, int64_t rows, int64_t cols);
  /// The tile that begins at `row`, a multiple of kTileRows.
  const float* tile(int64_t row) const { return data_.get() + row * cols_; }

 private:
  int64_t cols_;
  std::unique_ptr<float[]> data_;
};

}  // namespace attar
