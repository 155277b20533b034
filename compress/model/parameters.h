// Named float32 parameters in one block of memory, and their gradients in a second: an optimizer, a
// norm or a checkpoint is one pass over a flat array, and parameters that are used together lie
// together.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compress/model/torch_compat.h"

namespace attar {

class ParameterStore {
 public:
  struct Entry {
    std::string name;
    std::vector<int64_t> shape;
    int64_t offset = 0, count = 0;  // in elements of the block
  };

  /// Declares one; all are declared before allocate(). Returns its index.
  int64_t add(std::string name, std::vector<int64_t> shape);
  /// Zeros; with `trained`, gradients too.
  void allocate(bool trained);

  const std::vector<Entry>& entries() const { return entries_; }
  /// Index of a name, −1 when there is none.
  int64_t find(std::string_view name) const;
  bool trained() const { return gradients_.defined(); }

  at::Tensor value(int64_t index) const { return view(values_, index, 1); }
  at::Tensor gradient(int64_t index) const { return view(gradients_, index, 1); }
  /// `count` parameters [rows_i, cols] declared one after the other, as one matrix [Σ rows_i,
  /// cols]; vectors likewise.
  at::Tensor values(int64_t first, int64_t count) const { return view(values_, first, count); }
  /// Undefined unless trained.
  at::Tensor gradients(int64_t first, int64_t count) const {
    return view(gradients_, first, count);
  }

  /// All of them, [total].
  const at::Tensor& flat() const { return values_; }
  const at::Tensor& flat_gradients() const { return gradients_; }
  int64_t total() const { return total_; }

 private:
  at::Tensor view(const at::Tensor& block, int64_t first, int64_t count) const;

  std::vector<Entry> entries_;
  int64_t total_ = 0;
  at::Tensor values_, gradients_;
};

}  // namespace attar
