// Keys and values of one block for one sequence, laid out as the tile kernels read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace attar {

class KvCache {
 public:
  int64_t length() const { return length_; }
  uint64_t bytes() const;

  /// Appends `count` positions: keys (already rotated) and values [count, kv_heads · head_dim].
  void append(const float* keys, const float* values, int64_t count, int64_t kv_heads,
              int64_t head_dim);

  /// Keys of a head from position `first` (a multiple of 32) on: [panel][head_dim][32 positions].
  const float* keys(int64_t head, int64_t first) const {
    return keys_[static_cast<size_t>(head)].data() + first * head_dim_;
  }
  /// Dimensions 32·part … of a head's values from position `first` on: [position][32], zero-filled.
  const float* values(int64_t head, int64_t part, int64_t first) const;

 private:
  int64_t length_ = 0, head_dim_ = 0, parts_ = 0;
  std::vector<std::vector<float>> keys_;    // per head
  std::vector<std::vector<float>> values_;  // per head and part
};

}  // namespace attar
