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

/// A norm with its parameters; it must outlive the graphs it is used in. False where the spec has
/// none.
struct Norm {
  NormSpec spec;
  Parameter weight, bias;
  explicit operator bool() const { return spec.kind != NormKind::none; }
};

/// {h + delta, norm(h + delta)}: float32 and `dtype`, both [rows, width]. delta, in `dtype`, may be
/// undefined.
std::pair<at::Tensor, at::Tensor> add_norm(const at::Tensor& h, const at::Tensor& delta,
                                           const Norm& norm, at::ScalarType dtype);
/// x with each `width` consecutive elements normed by themselves, in x's type; x itself without a
/// norm.
at::Tensor norm_rows(const at::Tensor& x, const Norm& norm, int64_t width);

/// cos and sin of a sequence of `positions`, float32 [positions, dims/2].
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

/// Attention -> [B·T, heads · head_dim]. `lengths` int64 [B], undefined for causal attention: the
/// positions of each sequence before its padding, ≥ 1, which alone are seen. `spec` must outlive
/// the graph.
at::Tensor attention(const Heads& heads, const AttentionSpec& spec, const at::Tensor& lengths);

/// [rows, 2 · width] (gate, up) -> act(gate) · up [rows, width].
at::Tensor gated(const at::Tensor& gate_up, Activation activation);
/// act(x)
at::Tensor activate(const at::Tensor& x, Activation activation);

/// x [n, width] -> x[from[i]] [m, width], where every row of x is taken equally often: row r is
/// what rows to[r] [n, m/n] of the result hold.
at::Tensor take_rows(const at::Tensor& x, const at::Tensor& from, const at::Tensor& to);

/// What a Gated DeltaNet computes from its projections, except for the output's norm and gate, all
/// float32: x [B·T, 2 · key_heads · key_dim + value_heads · value_dim] (q, k, v) and the linear
/// layers' b, a [B·T, value_heads] -> [B·T, value_heads · value_dim].
struct DeltaNetParameters {
  Parameter conv, a_log, dt_bias;
};
/// silu of the causal depthwise convolution over each sequence.
at::Tensor short_convolution(const at::Tensor& x, const Parameter& conv, int64_t sequences);
/// The recurrence. `spec` and `parameters` must outlive the graph.
at::Tensor delta_rule(const at::Tensor& qkv, const at::Tensor& b, const at::Tensor& a,
                      const DeltaNetSpec& spec, const DeltaNetParameters& parameters,
                      int64_t sequences);

}  // namespace attar::ops
