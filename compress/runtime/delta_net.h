// Gated DeltaNet (Yang, Kautz, Hatamizadeh: Gated Delta Networks, 2024, §3) on the kernels: a
// block's recurrent attention. DeltaNetSpec has the recurrence.
//
// Positions are taken in chunks of 32, counted from the sequence's beginning. With S the state
// before a chunk, k, q, v, β of its positions and w(j, t) the product of decays after position j up
// to t, w(−1, t) that from the chunk's beginning,
//   d_t = β_t (v_t − w(−1, t) Sᵀk_t − Σ_{j<t} w(j, t) (k_j·k_t) d_j)
//   o_t = w(−1, t) Sᵀq_t + Σ_{j≤t} w(j, t) (k_j·q_t) d_j
// and after the last position S becomes w(−1, 31) S + Σ w(j, 31) k_j d_jᵀ. The recurrence itself,
// with its products gathered into tiles; a chunk read in pieces gives the same bytes as in one go.
#pragma once

#include <cstdint>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/runtime/linears.h"
#include "compress/runtime/norm.h"

namespace attar {

/// What a DeltaNet remembers of a sequence: the last inputs of its convolution, its state, and what
/// has been read of the running chunk. Its size does not grow with the sequence.
struct DeltaState {
  int64_t length = 0;          // positions read
  std::vector<float> history;  // [conv_width − 1, conv_channels], the oldest first
  std::vector<float> state;    // [value_heads, parts, key_dim, 32], parts = value_dim / 32
  std::vector<float> keys;     // [key_heads, key_dim, 32 positions], normalized
  std::vector<float> deltas;   // [value_heads, parts, 32 positions, 32]
  std::vector<float> decays;   // [value_heads, 33]: w(−1, t), w(0, t), …

  uint64_t bytes() const;
};

class DeltaNet {
 public:
  /// bad_input for values that are not finite or dimensions that do not fit.
  DeltaNet(const DeltaNetSpec& spec, const WeightSource& weights, const LinearLoader& load);

  uint64_t bytes() const;
  /// x [rows, hidden] of the next positions -> what the output projection reads, mixed [rows,
  /// value_heads · value_dim]. The bytes do not depend on how a sequence is cut into calls, nor on
  /// the number of threads.
  void mix(const float* x, int64_t rows, DeltaState& state, float* mixed, Activations activations,
           const LinearObserver& observer) const;
  const Linear& output() const { return out_; }
  /// f(layer) for each linear layer.
  template <class F>
  void for_linears(F f) {
    for (Linear* linear : {&q_, &k_, &v_, &z_, &b_, &a_, &out_}) f(*linear);
  }

 private:
  struct Inputs;
  void convolve(float* x, int64_t rows, int64_t width, int64_t channel, DeltaState& state) const;
  void gates(const float* b, const float* a, int64_t rows, Inputs& in) const;
  void recur(const Inputs& in, int64_t rows, DeltaState& state, float* out) const;
  void head(const Inputs& in, int64_t key_head, int64_t rows, DeltaState& state, float* out) const;

  DeltaNetSpec spec_;
  Linear q_, k_, v_, z_, b_, a_, out_;
  std::vector<float> conv_;           // [conv_width, conv_channels]
  std::vector<float> rate_, offset_;  // exp(A_log), dt_bias, [value_heads]
  Norm norm_;
};

}  // namespace attar
