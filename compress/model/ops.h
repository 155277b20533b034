// The trainable model's operations other than linear layers, differentiable. Activations are
// float32 or bfloat16 ("x's type"); the residual stream is float32 always. Rows are positions: row
// b · T + t.
#pragma once

#include <cstdint>
#include <utility>

#include "compress/architecture/model_spec.h"
#include "compress/model/torch_compat.h"

namespace attar::ops {

/// A parameter as operations need it: the value, and where its gradient is added up (undefined:
/// frozen).
struct Parameter {
  at::Tensor value, gradient;
};

/// ids int64 [rows] -> float32 [rows, hidden], times `scale`. `anchor` is any tensor that requires
/// a gradient, so that a graph is built.
at::Tensor embed(const at::Tensor& ids, const Parameter& table, double scale,
                 const at::Tensor& anchor);

/// {h + delta, norm(h + delta)}: float32 and `dtype`, both [rows, width]. delta may be undefined.
std::pair<at::Tensor, at::Tensor> add_norm(const at::Tensor& h, const at::Tensor& delta,
                                           const NormSpec& norm, const Parameter& weight,
                                           at::ScalarType dtype);

/// cos and sin, float32 [positions, dims/2].
struct RopeTensors {
  at::Tensor cos, sin;
};
RopeTensors rope_tensors(const RopeSpec& spec, int64_t positions);

/// qkv [B·T, (heads + 2 kv_heads) · head_dim] -> q [B, heads, T, head_dim], k, v [B, kv_heads, T,
/// head_dim], q and k rotated. rope null: not rotated.
struct Heads {
  at::Tensor q, k, v;
};
Heads split_heads(const at::Tensor& qkv, const AttentionSpec& spec, const RopeTensors* rope,
                  int64_t sequences);

/// Causal attention, within spec.window if that is set -> [B·T, heads · head_dim].
at::Tensor attention(const Heads& heads, const AttentionSpec& spec);

/// [rows, 2 · width] (gate, up) -> act(gate) · up [rows, width].
at::Tensor gated(const at::Tensor& gate_up, Activation activation);
/// act(x)
at::Tensor activate(const at::Tensor& x, Activation activation);

}  // namespace attar::ops
