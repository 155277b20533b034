// Keys and values of one block for one sequence, laid out as the tile kernels read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compress/kernels/kernel_table.h"

namespace attar {

/// What a cache stores per number. Attention is computed in float32 always.
enum class KvFormat {
  f32,
  f16,
  bf16,
  int8,  // one scale per head and position, its largest magnitude / 127
};
/// "float32", "float16", "bfloat16", "int8".
std::string_view to_string(KvFormat format);
/// The other way round; bad_input at `where` for an unknown name.
KvFormat parse_kv_format(std::string_view name, const std::string& where);

class KvCache {
 public:
  explicit KvCache(KvFormat format = KvFormat::f32) : format_(format) {}

  int64_t length() const { return length_; }
  KvFormat format() const { return format_; }
  uint64_t bytes() const;

  /// Appends `count` positions: keys (already rotated) and values [count, kv_heads · head_dim].
  void append(const float* keys, const float* values, int64_t count, int64_t kv_heads,
              int64_t head_dim);

  /// Keys of a head from position `first` (a multiple of 32) on as a matrix whose rows are
  /// positions; and 32 dimensions of its values as one whose columns are: for products with one
  /// query. Int8 values are still to be multiplied by value_scales().
  PackedView key_panels(int64_t head, int64_t first) const;
  PackedView value_panel(int64_t head, int64_t part, int64_t first, int64_t count) const;
  /// Keys of a head at 32 positions from `first` (a multiple of 32) on: [head_dim][32 positions].
  /// `scratch`, [head_dim][32], is used where they are stored otherwise.
  const float* keys(int64_t head, int64_t first, float* scratch) const;
  /// Dimensions 32·part … of a head's values at `count` positions from `first` on, multiples of 32:
  /// [position][32], zero-filled; still to be multiplied by value_scales(). `scratch`: alike.
  const float* values(int64_t head, int64_t part, int64_t first, int64_t count,
                      float* scratch) const;
  /// Of a head, one per position from `first` on; nullptr: all 1.
  const float* value_scales(int64_t head, int64_t first) const;

 private:
  void append_key(int64_t head, int64_t position, const float* from);
  void append_value(int64_t head, int64_t position, const float* from);
  int64_t element() const;  // bytes of one

  KvFormat format_;
  int64_t length_ = 0, head_dim_ = 0, depth_ = 0, parts_ = 0;  // depth: of a panel of keys
  std::vector<std::vector<std::byte>> keys_;                   // per head: [panel][depth][32]
  std::vector<std::vector<std::byte>> values_;                 // per head and part: [position][32]
  std::vector<std::vector<float>> key_scales_, value_scales_;  // int8: per head, [position]
};

}  // namespace attar
