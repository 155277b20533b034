// Weights in memory, random and repeatable, for tests of single layers.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compress/base/random.h"
#include "compress/formats/weights.h"

namespace attar::testing {

class RandomWeights : public WeightSource {
 public:
  explicit RandomWeights(uint64_t seed) : random_(seed) {}

  /// Normal values · scale + shift.
  void add(const std::string& name, std::vector<int64_t> shape, double scale, double shift = 0) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    auto values = std::make_shared<std::vector<float>>();
    for (int64_t i = 0; i < count; ++i)
      values->push_back(static_cast<float>(random_.normal() * scale + shift));
    list_.push_back({name, shape, "F32", static_cast<uint64_t>(count) * sizeof(float)});
    tensors_[name] = {DType::f32, std::move(shape), std::as_bytes(std::span(*values)), values};
  }

  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override { return tensors_.contains(std::string(name)); }
  Weight load(std::string_view name) const override { return tensors_.at(std::string(name)); }

 private:
  Random random_;
  std::vector<WeightInfo> list_;
  std::map<std::string, DenseTensor> tensors_;
};

}  // namespace attar::testing
