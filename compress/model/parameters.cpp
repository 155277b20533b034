#include "compress/model/parameters.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace attar {

int64_t ParameterStore::add(std::string name, std::vector<int64_t> shape) {
  assert(!values_.defined());
  int64_t count = 1;
  for (const int64_t n : shape) count *= n;
  entries_.push_back({std::move(name), std::move(shape), total_, count});
  total_ += count;
  return static_cast<int64_t>(entries_.size()) - 1;
}

void ParameterStore::allocate(bool trained) {
  values_ = at::zeros({total_}, at::kFloat);
  if (trained) gradients_ = at::zeros({total_}, at::kFloat);
}

int64_t ParameterStore::find(std::string_view name) const {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.name == name; });
  return found == entries_.end() ? -1 : found - entries_.begin();
}

at::Tensor ParameterStore::view(const at::Tensor& block, int64_t first, int64_t count) const {
  if (!block.defined()) return {};
  const Entry& entry = entries_[static_cast<size_t>(first)];
  std::vector<int64_t> shape = entry.shape;
  int64_t total = entry.count;
  for (int64_t i = 1; i < count; ++i) {
    const Entry& next = entries_[static_cast<size_t>(first + i)];
    shape[0] += next.shape[0];
    total += next.count;
  }
  return block.narrow(0, entry.offset, total).view(shape);
}

}  // namespace attar
