// Normalization over the last dimension.
#pragma once

#include <cstdint>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/formats/weights.h"

namespace attar {

class Norm {
 public:
  Norm() = default;
  /// bad_input for values that are not finite, or another number of them than `width`.
  Norm(const NormSpec& spec, int64_t width, const WeightSource& weights);

  bool present() const { return spec_.kind != NormKind::none; }
  uint64_t bytes() const { return (weight_.size() + bias_.size()) * sizeof(float); }
  /// out [rows, width]; out may be x.
  void apply(const float* x, int64_t rows, float* out) const;

 private:
  void apply_row(const float* x, float* out) const;

  NormSpec spec_;
  int64_t width_ = 0;
  std::vector<float> weight_, bias_;  // the weight has its offset added
};

}  // namespace attar
