// The elementwise parts of the trainable model, forward and backward, on plain memory: each reads
// and writes its rows once. LibTorch has these as chains of separate passes over memory, which on a
// CPU cost as much as the matrix products. Free of LibTorch.
//
// T is float or Bf16; sums are float. Every function handles the rows it is given and nothing else,
// so that callers split rows over threads as they like without changing a bit.
#pragma once

#include <cstdint>

namespace attar::kernel {

/// A bfloat16's bits.
struct Bf16 {
  uint16_t bits;
};

/// h_out = h + delta; y = (h_out − mean) · rstd · (offset + weight) + bias. RMSNorm (Zhang,
/// Sennrich 2019) has mean 0; `centered`: LayerNorm (Ba, Kiros, Hinton 2016). h, h_out, y [rows,
/// width]; delta may be null (then h_out too), bias too. mean (null unless centered) and rstd
/// [rows] are for the way back.
template <class T>
struct AddNorm {
  int64_t rows, width;
  const float* h;
  const T* delta;
  const float *weight, *bias;
  float offset, eps;
  bool centered;
  float* h_out;
  T* y;
  float *mean, *rstd;
};
void add_norm(const AddNorm<float>& a);
void add_norm(const AddNorm<Bf16>& a);

/// dh = dh_out + ∂y/∂h_outᵀ dy, also rounded to ddelta; dweight and dbias [width] grow by Σ over
/// these rows. mean (RMSNorm), dh_out, ddelta and dbias may be null.
template <class T>
struct AddNormBackward {
  int64_t rows, width;
  const float* h_out;
  const float *mean, *rstd;
  const float* weight;
  float offset;
  const T* dy;
  const float* dh_out;
  float* dh;
  T* ddelta;
  float *dweight, *dbias;
};
void add_norm_backward(const AddNormBackward<float>& a);
void add_norm_backward(const AddNormBackward<Bf16>& a);

/// Splits one position's heads out of a row and rotates pairs (i, i + dims/2) of the first `dims`
/// elements; with `inverse`, back again. row [heads, head_dim]; head h of the other side lies at
/// heads_at + h · stride. cos, sin [dims/2].
template <class T>
struct Rotate {
  int64_t heads, head_dim, dims, stride;
  const float *cos, *sin;
};
void rotate_out(const Rotate<float>& a, const float* row, float* heads_at);
void rotate_out(const Rotate<Bf16>& a, const Bf16* row, Bf16* heads_at);
void rotate_back(const Rotate<float>& a, const float* heads_at, float* row);
void rotate_back(const Rotate<Bf16>& a, const Bf16* heads_at, Bf16* row);

/// One row of attention: scores [length] become softmax(scale · scores) over [first, last), zero
/// outside. `scratch` has room for `length` floats.
void softmax_row(float* scores, int64_t length, int64_t first, int64_t last, float scale,
                 float* scratch);
void softmax_row(Bf16* scores, int64_t length, int64_t first, int64_t last, float scale,
                 float* scratch);
/// dp [length] becomes the gradient of the unscaled scores: scale · p · (dp − Σ p dp).
void softmax_row_backward(const float* p, float* dp, int64_t length, int64_t first, int64_t last,
                          float scale);
void softmax_row_backward(const Bf16* p, Bf16* dp, int64_t length, int64_t first, int64_t last,
                          float scale);

/// out = silu(gate) · up; one row of `gate_up` is [gate, up], each of `width`.
void silu_gate(const float* gate_up, float* out, int64_t rows, int64_t width);
void silu_gate(const Bf16* gate_up, Bf16* out, int64_t rows, int64_t width);
void silu_gate_backward(const float* gate_up, const float* dout, float* dgate_up, int64_t rows,
                        int64_t width);
void silu_gate_backward(const Bf16* gate_up, const Bf16* dout, Bf16* dgate_up, int64_t rows,
                        int64_t width);

/// x = cap · tanh(x / cap), and dx = dx · (1 − (x / cap)²) for such x.
void soft_cap(float* x, int64_t count, float cap);
void soft_cap_backward(const float* x, float* dx, int64_t count, float cap);

/// to = from, widened or rounded to nearest even.
void widen(const float* from, float* to, int64_t count);
void widen(const Bf16* from, float* to, int64_t count);
void narrow(const float* from, float* to, int64_t count);
void narrow(const float* from, Bf16* to, int64_t count);

/// sum += x
void accumulate(float* sum, const float* x, int64_t count);
void accumulate(float* sum, const Bf16* x, int64_t count);

}  // namespace attar::kernel
