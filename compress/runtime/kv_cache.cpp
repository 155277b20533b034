#include "compress/runtime/kv_cache.h"

#include <algorithm>

#include "compress/base/threads.h"
#include "compress/kernels/kernel_table.h"

namespace attar {

uint64_t KvCache::bytes() const {
  uint64_t total = 0;
  for (const auto& k : keys_) total += k.capacity() * sizeof(float);
  for (const auto& v : values_) total += v.capacity() * sizeof(float);
  return total;
}

const float* KvCache::values(int64_t head, int64_t part, int64_t first) const {
  return values_[static_cast<size_t>(head * parts_ + part)].data() + first * kPanel;
}

void KvCache::append(const float* keys, const float* values, int64_t count, int64_t kv_heads,
                     int64_t head_dim) {
  head_dim_ = head_dim;
  parts_ = (head_dim + kPanel - 1) / kPanel;
  keys_.resize(static_cast<size_t>(kv_heads));
  values_.resize(static_cast<size_t>(kv_heads * parts_));
  const int64_t capacity = (length_ + count + kPanel - 1) / kPanel * kPanel;
  const int64_t width = kv_heads * head_dim;
  const auto append_head = [&](int64_t head) {
    auto& k = keys_[static_cast<size_t>(head)];
    k.resize(static_cast<size_t>(capacity * head_dim));
    for (int64_t t = 0; t < count; ++t) {
      const int64_t position = length_ + t;
      float* to = k.data() + position / kPanel * kPanel * head_dim + position % kPanel;
      const float* from = keys + t * width + head * head_dim;
      for (int64_t d = 0; d < head_dim; ++d) to[d * kPanel] = from[d];
    }
    for (int64_t part = 0; part < parts_; ++part) {
      auto& v = values_[static_cast<size_t>(head * parts_ + part)];
      v.resize(static_cast<size_t>(capacity * kPanel));
      const int64_t dims = std::min(kPanel, head_dim - part * kPanel);
      for (int64_t t = 0; t < count; ++t)
        std::copy_n(values + t * width + head * head_dim + part * kPanel, dims,
                    v.data() + (length_ + t) * kPanel);
    }
  };
  if (count == 1)
    for (int64_t head = 0; head < kv_heads; ++head) append_head(head);
  else
    parallel_for(kv_heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t head = begin; head < end; ++head) append_head(head);
    });
  length_ += count;
}

}  // namespace attar
