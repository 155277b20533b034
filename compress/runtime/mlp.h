// The feed-forward half of a block.
#pragma once

#include <cstdint>

#include "compress/architecture/model_spec.h"
#include "compress/runtime/linears.h"
#include "compress/runtime/norm.h"

namespace attar {

class Mlp {
 public:
  Mlp() = default;
  Mlp(const MlpSpec& spec, const LinearLoader& load, Norm down_norm = {});

  const MlpSpec& spec() const { return spec_; }
  uint64_t bytes() const;
  /// x [rows, hidden] -> y [rows, hidden]; y may be x.
  void forward(const float* x, int64_t rows, float* y, Activations activations,
               const LinearObserver& observer) const;

  /// The two steps of forward(): what `down` reads, out [rows, width] …
  void mix(const float* x, int64_t rows, float* out, Activations activations,
           const LinearObserver& observer) const;
  /// … and its product, y [rows, hidden].
  void project(const float* mixed, int64_t rows, float* y, Activations activations,
               const LinearObserver& observer) const;

  /// f(layer) for each linear layer.
  template <class F>
  void for_linears(F f) {
    if (spec_.gated()) f(gate_);
    f(up_);
    f(down_);
  }

 private:
  MlpSpec spec_;
  Linear gate_, up_, down_;
  Norm down_norm_;
};

/// gate = act(gate) · up; up == nullptr: gate = act(gate).
void activate(Activation activation, float* gate, const float* up, int64_t count);

}  // namespace attar
