// Memory for packed weights: what is allocated one after another lies one after another, on huge
// pages, so that reading a model's matrices in the order of their making is one stream.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

namespace attar {

/// Zeroed memory on a cache line boundary.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// Throws std::bad_alloc.
  explicit AlignedBuffer(size_t bytes);
  /// Bytes on a cache line boundary that `owner` keeps and nobody writes: of a mapped file.
  AlignedBuffer(std::shared_ptr<const void> owner, std::span<const std::byte> bytes)
      : chunk_(std::move(owner)),
        data_(const_cast<std::byte*>(bytes.data())),
        size_(bytes.size()) {}

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  std::shared_ptr<const void> chunk_;  // shared with its neighbours
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace attar
