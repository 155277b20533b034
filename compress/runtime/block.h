// One transformer block on the kernels: enough to run a model, or to stream through it a block at a time
// (calibration, pruning statistics, evaluation) with only that block's weights in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/formats/weights.h"
#include "compress/kernels/matmul.h"

namespace attar {

/// Keys and values of one block for one sequence.
struct KvCache {
  std::vector<float> keys, values;  // [capacity, kv_heads · head_dim], keys already rotated
  int64_t length = 0, capacity = 0;
  void reserve(int64_t positions, int64_t width);
};

/// Sees the input of every linear layer as it is computed: x [rows, linear.in].
using LinearObserver =
    std::function<void(const LinearSpec& linear, const float* x, int64_t rows)>;

/// cos and sin of every position: [positions, dims/2] each.
struct RopeTable {
  RopeTable(const RopeSpec& spec, int64_t positions);
  int64_t dims;
  std::vector<float> cos, sin;
};

class Block {
 public:
  /// Loads and packs block `index`'s weights. With `replaced`, a module named there ("model.layers.0.mlp.up_proj")
  /// uses that weight instead (a freshly quantized one, say).
  Block(const ModelSpec& spec, int64_t index, const WeightSource& weights,
        const std::map<std::string, Weight>& replaced = {});

  /// hidden [count, hidden] of consecutive positions of one sequence, updated in place. The cache holds the
  /// positions before them and grows by count; nullptr: the sequence starts here and nothing is kept.
  void forward(float* hidden, int64_t count, KvCache* cache, const RopeTable* rope,
               Activations activations, const LinearObserver& observer = {}) const;

  uint64_t bytes() const;

 private:
  struct Weights;
  const BlockSpec& spec_;
  int64_t hidden_;
  std::shared_ptr<const Weights> weights_;
};

}  // namespace attar
