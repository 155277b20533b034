#include "compress/model/kernels.h"

#include <bit>
#include <cmath>

#include "compress/model/vector_math.h"

namespace attar::kernel {
namespace {

ATTAR_INLINE float get(float x) {
  return x;
}
ATTAR_INLINE float get(Bf16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}
ATTAR_INLINE void put(float& to, float x) {
  to = x;
}
/// Rounds to nearest even; NaN stays NaN.
ATTAR_INLINE void put(Bf16& to, float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  const uint32_t nan = -static_cast<uint32_t>(x != x);  // a mask: branches keep loops scalar
  to.bits = static_cast<uint16_t>((rounded >> 16 & ~nan) | (0x7fc0u & nan));
}

template <class T>
ATTAR_INLINE void add_norm_rows(const AddNorm<T>& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    const float* h = a.h + row * a.width;
    if (a.delta) {
      const T* delta = a.delta + row * a.width;
      float* h_out = a.h_out + row * a.width;
      for (int64_t i = 0; i < a.width; ++i) h_out[i] = h[i] + get(delta[i]);
      h = h_out;
    }
    float mean = 0;
    if (a.centered) {
      const double sum = lane_sum(a.width, [h](int64_t i) ATTAR_INLINE_LAMBDA { return h[i]; });
      a.mean[row] = mean = static_cast<float>(sum / static_cast<double>(a.width));
    }
    const double squares = lane_sum(a.width, [h, mean](int64_t i) ATTAR_INLINE_LAMBDA {
      return (h[i] - mean) * (h[i] - mean);
    });
    const auto variance = static_cast<float>(squares / static_cast<double>(a.width));
    const float rstd = 1.0f / std::sqrt(variance + a.eps);
    a.rstd[row] = rstd;
    T* y = a.y + row * a.width;
    if (a.bias)
      for (int64_t i = 0; i < a.width; ++i)
        put(y[i], (h[i] - mean) * rstd * (a.offset + a.weight[i]) + a.bias[i]);
    else
      for (int64_t i = 0; i < a.width; ++i)
        put(y[i], (h[i] - mean) * rstd * (a.offset + a.weight[i]));
  }
}

template <class T>
ATTAR_INLINE void add_norm_backward_rows(const AddNormBackward<T>& a) {
  const float* weight = a.weight;
  const float offset = a.offset;
  float* dweight = a.dweight;
  const auto width = static_cast<double>(a.width);
  for (int64_t row = 0; row < a.rows; ++row) {
    const int64_t at = row * a.width;
    const float* h = a.h_out + at;
    const T* dy = a.dy + at;
    const float rstd = a.rstd[row], mean = a.mean ? a.mean[row] : 0.0f;
    const double dot = lane_sum(a.width, [=](int64_t i) ATTAR_INLINE_LAMBDA {
      return get(dy[i]) * (offset + weight[i]) * (h[i] - mean);
    });
    const float factor = static_cast<float>(dot / width) * rstd * rstd * rstd;
    float shift = 0;
    if (a.mean) {
      const double sum = lane_sum(a.width, [=](int64_t i) ATTAR_INLINE_LAMBDA {
        return get(dy[i]) * (offset + weight[i]);
      });
      shift = static_cast<float>(sum / width) * rstd;
    }
    float* dh = a.dh + at;
    for (int64_t i = 0; i < a.width; ++i) {
      const float g = get(dy[i]), x = h[i] - mean;
      dh[i] = g * (offset + weight[i]) * rstd - x * factor - shift;
      dweight[i] += g * x * rstd;
    }
    if (a.dbias)
      for (int64_t i = 0; i < a.width; ++i) a.dbias[i] += get(dy[i]);
    if (a.dh_out) {
      const float* from_above = a.dh_out + at;
      for (int64_t i = 0; i < a.width; ++i) dh[i] += from_above[i];
    }
    if (a.ddelta) {
      T* ddelta = a.ddelta + at;
      for (int64_t i = 0; i < a.width; ++i) put(ddelta[i], dh[i]);
    }
  }
}

template <class T>
ATTAR_INLINE void rotate_head(const T* from, T* to, const Rotate<T>& a, float direction) {
  const int64_t half = a.dims / 2;
  for (int64_t i = 0; i < half; ++i) {
    const float x = get(from[i]), y = get(from[i + half]), c = a.cos[i], s = a.sin[i] * direction;
    put(to[i], x * c - y * s);
    put(to[i + half], y * c + x * s);
  }
  for (int64_t i = a.dims; i < a.head_dim; ++i) to[i] = from[i];
}

template <class T>
ATTAR_INLINE void softmax(T* scores, int64_t length, int64_t first, int64_t last, float scale,
                          float* scratch) {
  const int64_t count = last - first;
  T* s = scores + first;
  const float largest = lane_max(count, [s](int64_t j) ATTAR_INLINE_LAMBDA { return get(s[j]); });
  for (int64_t j = 0; j < count; ++j) scratch[j] = vector_exp(scale * (get(s[j]) - largest));
  const double sum =
      lane_sum(count, [scratch](int64_t j) ATTAR_INLINE_LAMBDA { return scratch[j]; });
  const auto inverse = static_cast<float>(1.0 / sum);
  for (int64_t j = 0; j < first; ++j) put(scores[j], 0.0f);
  for (int64_t j = 0; j < count; ++j) put(s[j], scratch[j] * inverse);
  for (int64_t j = last; j < length; ++j) put(scores[j], 0.0f);
}

template <class T>
ATTAR_INLINE void softmax_backward(const T* p, T* dp, int64_t length, int64_t first, int64_t last,
                                   float scale) {
  const auto dot = static_cast<float>(lane_sum(last - first, [=](int64_t j) ATTAR_INLINE_LAMBDA {
    return get(p[first + j]) * get(dp[first + j]);
  }));
  for (int64_t j = 0; j < first; ++j) put(dp[j], 0.0f);
  for (int64_t j = first; j < last; ++j) put(dp[j], scale * get(p[j]) * (get(dp[j]) - dot));
  for (int64_t j = last; j < length; ++j) put(dp[j], 0.0f);
}

ATTAR_INLINE float sigmoid(float x) {
  return 1.0f / (1.0f + vector_exp(-x));
}

template <class T>
ATTAR_INLINE void silu_gate_rows(const T* gate_up, T* out, int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* __restrict gate = gate_up + 2 * row * width;
    const T* __restrict up = gate + width;
    T* __restrict y = out + row * width;
    for (int64_t i = 0; i < width; ++i) {
      const float g = get(gate[i]);
      put(y[i], g * sigmoid(g) * get(up[i]));
    }
  }
}

template <class T>
ATTAR_INLINE void silu_gate_backward_rows(const T* gate_up, const T* dout, T* dgate_up,
                                          int64_t rows, int64_t width) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* __restrict gate = gate_up + 2 * row * width;
    const T* __restrict up = gate + width;
    const T* __restrict dy = dout + row * width;
    T* __restrict dgate = dgate_up + 2 * row * width;
    T* __restrict dup = dgate + width;
    // The two outputs touch end to end, which fails the compiler's own test for overlap.
#pragma GCC ivdep
    for (int64_t i = 0; i < width; ++i) {
      const float g = get(gate[i]), s = sigmoid(g), d = get(dy[i]);
      put(dgate[i], d * get(up[i]) * s * (1.0f + g * (1.0f - s)));
      put(dup[i], d * g * s);
    }
  }
}

template <class T>
ATTAR_INLINE void accumulate_all(float* sum, const T* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) sum[i] += get(x[i]);
}

template <class From, class To>
ATTAR_INLINE void convert(const From* __restrict from, To* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) put(to[i], get(from[i]));
}

}  // namespace

ATTAR_VECTOR_CLONES void widen(const float* from, float* to, int64_t count) {
  convert(from, to, count);
}
ATTAR_VECTOR_CLONES void widen(const Bf16* from, float* to, int64_t count) {
  convert(from, to, count);
}
ATTAR_VECTOR_CLONES void narrow(const float* from, float* to, int64_t count) {
  convert(from, to, count);
}
ATTAR_VECTOR_CLONES void narrow(const float* from, Bf16* to, int64_t count) {
  convert(from, to, count);
}

ATTAR_VECTOR_CLONES void add_norm(const AddNorm<float>& a) {
  add_norm_rows(a);
}
ATTAR_VECTOR_CLONES void add_norm(const AddNorm<Bf16>& a) {
  add_norm_rows(a);
}
ATTAR_VECTOR_CLONES void add_norm_backward(const AddNormBackward<float>& a) {
  add_norm_backward_rows(a);
}
ATTAR_VECTOR_CLONES void add_norm_backward(const AddNormBackward<Bf16>& a) {
  add_norm_backward_rows(a);
}

ATTAR_VECTOR_CLONES void rotate_out(const Rotate<float>& a, const float* row, float* heads_at) {
  for (int64_t h = 0; h < a.heads; ++h)
    rotate_head(row + h * a.head_dim, heads_at + h * a.stride, a, 1.0f);
}
ATTAR_VECTOR_CLONES void rotate_out(const Rotate<Bf16>& a, const Bf16* row, Bf16* heads_at) {
  for (int64_t h = 0; h < a.heads; ++h)
    rotate_head(row + h * a.head_dim, heads_at + h * a.stride, a, 1.0f);
}
ATTAR_VECTOR_CLONES void rotate_back(const Rotate<float>& a, const float* heads_at, float* row) {
  for (int64_t h = 0; h < a.heads; ++h)
    rotate_head(heads_at + h * a.stride, row + h * a.head_dim, a, -1.0f);
}
ATTAR_VECTOR_CLONES void rotate_back(const Rotate<Bf16>& a, const Bf16* heads_at, Bf16* row) {
  for (int64_t h = 0; h < a.heads; ++h)
    rotate_head(heads_at + h * a.stride, row + h * a.head_dim, a, -1.0f);
}

ATTAR_VECTOR_CLONES void softmax_row(float* scores, int64_t length, int64_t first, int64_t last,
                                     float scale, float* scratch) {
  softmax(scores, length, first, last, scale, scratch);
}
ATTAR_VECTOR_CLONES void softmax_row(Bf16* scores, int64_t length, int64_t first, int64_t last,
                                     float scale, float* scratch) {
  softmax(scores, length, first, last, scale, scratch);
}
ATTAR_VECTOR_CLONES void softmax_row_backward(const float* p, float* dp, int64_t length,
                                              int64_t first, int64_t last, float scale) {
  softmax_backward(p, dp, length, first, last, scale);
}
ATTAR_VECTOR_CLONES void softmax_row_backward(const Bf16* p, Bf16* dp, int64_t length,
                                              int64_t first, int64_t last, float scale) {
  softmax_backward(p, dp, length, first, last, scale);
}

ATTAR_VECTOR_CLONES void silu_gate(const float* gate_up, float* out, int64_t rows, int64_t width) {
  silu_gate_rows(gate_up, out, rows, width);
}
ATTAR_VECTOR_CLONES void silu_gate(const Bf16* gate_up, Bf16* out, int64_t rows, int64_t width) {
  silu_gate_rows(gate_up, out, rows, width);
}
ATTAR_VECTOR_CLONES void silu_gate_backward(const float* gate_up, const float* dout,
                                            float* dgate_up, int64_t rows, int64_t width) {
  silu_gate_backward_rows(gate_up, dout, dgate_up, rows, width);
}
ATTAR_VECTOR_CLONES void silu_gate_backward(const Bf16* gate_up, const Bf16* dout, Bf16* dgate_up,
                                            int64_t rows, int64_t width) {
  silu_gate_backward_rows(gate_up, dout, dgate_up, rows, width);
}

ATTAR_VECTOR_CLONES void soft_cap(float* x, int64_t count, float cap) {
  const float scale = 2.0f / cap;
  for (int64_t i = 0; i < count; ++i) x[i] = cap - 2.0f * cap * sigmoid(-scale * x[i]);
}
ATTAR_VECTOR_CLONES void soft_cap_backward(const float* x, float* dx, int64_t count, float cap) {
  const float inverse = 1.0f / cap;
  for (int64_t i = 0; i < count; ++i) dx[i] *= 1.0f - (x[i] * inverse) * (x[i] * inverse);
}

ATTAR_VECTOR_CLONES void accumulate(float* sum, const float* x, int64_t count) {
  accumulate_all(sum, x, count);
}
ATTAR_VECTOR_CLONES void accumulate(float* sum, const Bf16* x, int64_t count) {
  accumulate_all(sum, x, count);
}

}  // namespace attar::kernel
