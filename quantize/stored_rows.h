// Activations that wait between two steps, at half their size: int16 with a scale for every 128
// values of a row, an error of at most 2^-16 of their largest magnitude.
#pragma once

#include <cstdint>
#include <memory>

namespace attar {

class StoredRows {
 public:
  /// Room for [rows, cols]; what was stored is lost.
  void resize(int64_t rows, int64_t cols);
  /// Stores x [rows, cols] from row `first` on. What is not finite makes its 128 values NaN.
  void put(int64_t first, int64_t rows, const float* x);
  void get(int64_t first, int64_t rows, float* x) const;

 private:
  int64_t cols_ = 0, segments_ = 0, capacity_ = 0;
  std::unique_ptr<int16_t[]> codes_;
  std::unique_ptr<float[]> scales_;
};

}  // namespace attar
