// The recurrence of Gated DeltaNet on plain memory, forward and backward. Free of LibTorch.
#pragma once

#include <cstdint>

namespace attar::kernel {

/// One value head over one sequence (see DeltaNetSpec). The state's columns are independent of each
/// other, so that a call handles a panel of `width` ≤ kPanel of them, small enough for the
/// innermost cache.
///   S'(t) = decay(t) S(t−1);  r(t) = beta(t) (v(t) − S'(t)ᵀ k(t));  S(t) = S'(t) + k(t) r(t)ᵀ;
///   out(t) = S(t)ᵀ q(t);  S(−1) = 0
inline constexpr int64_t kPanel = 32;

struct DeltaPanel {
  int64_t positions, key_dim, width;
  const float *q, *k;         // normalized, [positions, key_dim]
  const float *decay, *beta;  // [positions], `scalar_stride` apart
  int64_t scalar_stride;
  const float* v;  // [positions, width], rows `v_stride` apart
  int64_t v_stride;
};

/// out [positions, width], rows `out_stride` apart. `state` is room for key_dim · kPanel floats.
void delta_forward(const DeltaPanel& panel, float* out, int64_t out_stride, float* state);

/// How many floats of room delta_backward needs.
int64_t delta_backward_room(int64_t positions, int64_t key_dim);

/// Adds to dq, dk [positions, key_dim] and to ddecay, dbeta [positions]; sets dv [positions,
/// width], rows `v_stride` apart. dout like `out` above. States are computed again from every 32nd
/// position on.
struct DeltaGradients {
  float *dq, *dk, *ddecay, *dbeta, *dv;
};
void delta_backward(const DeltaPanel& panel, const float* dout, int64_t out_stride,
                    const DeltaGradients& gradients, float* room);

}  // namespace attar::kernel
