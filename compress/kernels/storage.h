// What a PackedMatrix owns.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "compress/kernels/kernel_table.h"
#include "compress/kernels/packed_matrix.h"

namespace attar {

/// Zeroed memory on a cache line boundary.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes);

  std::byte* data() const { return data_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte, Free> data_;
  size_t size_ = 0;
};

struct PackedMatrix::Storage {
  PackedView view{};
  AlignedBuffer data, scales, zeros;
  std::string name;

  int64_t panels() const { return (view.rows + kPanel - 1) / kPanel; }
};

}  // namespace attar
