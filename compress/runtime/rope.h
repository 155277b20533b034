// Rotary position embedding (Su et al., RoFormer, 2021, §3.2), pairs (i, i + dims/2) as in
// GPT-NeoX.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "compress/architecture/model_spec.h"

namespace attar {

/// cos and sin of every position up to a model's maximum, computed in stretches when first needed.
class RopeTable {
 public:
  RopeTable(const RopeSpec& spec, int64_t positions);

  /// Rotates the first dims of each head: x [count, heads, head_dim] at positions start, start + 1,
  /// … of a sequence that these end; its length decides the frequencies (RopeSpec::frequencies).
  void rotate(float* x, int64_t count, int64_t heads, int64_t head_dim, int64_t start) const;

 private:
  struct Stretch {
    std::once_flag once;
    std::vector<float> cos, sin;  // [kStretch, dims/2]
  };
  /// The frequencies of one regime.
  struct Regime {
    std::vector<float> frequencies;
    std::unique_ptr<Stretch[]> stretches;
  };
  static constexpr int64_t kStretch = 256;
  Regime make(int64_t length, int64_t positions) const;
  static const Stretch& stretch(const Regime& regime, int64_t index, float factor);
  void rotate(const Regime& regime, float* x, int64_t count, int64_t heads, int64_t head_dim,
              int64_t start) const;

  RopeSpec spec_;
  Regime usual_, beyond_;  // beyond the original length, where that changes frequencies once
};

}  // namespace attar
