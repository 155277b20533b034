#include "compress/model/delta_rule.h"

#include <algorithm>

#include "compress/model/vector_math.h"

namespace attar::kernel {
namespace {

constexpr int64_t kChunk = 32;  // positions whose states exist at one time

/// Σ of a panel's row, as a tree.
ATTAR_INLINE float tree_sum(float* x) {
  for (int64_t half = kPanel / 2; half > 0; half /= 2)
    for (int64_t c = 0; c < half; ++c) x[c] += x[c + half];
  return x[0];
}

/// A row of `width` floats, zeros behind it.
ATTAR_INLINE void load(const float* from, int64_t width, float* __restrict to) {
  for (int64_t c = 0; c < kPanel; ++c) to[c] = 0;
  for (int64_t c = 0; c < width; ++c) to[c] = from[c];
}

/// S(t−1) in `state` becomes S(t); u = S'ᵀ k, r, and out = Sᵀ q are [kPanel].
ATTAR_INLINE void step(const DeltaPanel& p, int64_t t, const float* v, float* __restrict state,
                       float* __restrict u, float* __restrict r, float* __restrict out) {
  const float decay = p.decay[t * p.scalar_stride], beta = p.beta[t * p.scalar_stride];
  const float *k = p.k + t * p.key_dim, *q = p.q + t * p.key_dim;
  float sum[kPanel] = {};
  for (int64_t i = 0; i < p.key_dim; ++i)
    for (int64_t c = 0; c < kPanel; ++c) {
      const float s = state[i * kPanel + c] * decay;
      state[i * kPanel + c] = s;
      sum[c] += k[i] * s;
    }
  float residual[kPanel], read[kPanel] = {};
  for (int64_t c = 0; c < kPanel; ++c) residual[c] = beta * (v[c] - sum[c]);
  for (int64_t i = 0; i < p.key_dim; ++i)
    for (int64_t c = 0; c < kPanel; ++c) {
      const float s = state[i * kPanel + c] + k[i] * residual[c];
      state[i * kPanel + c] = s;
      read[c] += q[i] * s;
    }
  for (int64_t c = 0; c < kPanel; ++c) {
    u[c] = sum[c];
    r[c] = residual[c];
    out[c] = read[c];
  }
}

/// What step(t) had and made, for one step back.
struct Step {
  const float *before, *u, *r;  // S(t−1) [key_dim, kPanel]; [kPanel]
};

/// dstate, the gradient of S(t), becomes that of S(t−1).
ATTAR_INLINE void step_back(const DeltaPanel& p, int64_t t, const Step& had,
                            const float* __restrict dout, float* __restrict dstate,
                            const DeltaGradients& to) {
  const float decay = p.decay[t * p.scalar_stride], beta = p.beta[t * p.scalar_stride];
  const float *k = p.k + t * p.key_dim, *q = p.q + t * p.key_dim;
  float *dk = to.dk + t * p.key_dim, *dq = to.dq + t * p.key_dim;
  float v[kPanel], dr[kPanel] = {};
  load(p.v + t * p.v_stride, p.width, v);
  for (int64_t i = 0; i < p.key_dim; ++i) {
    const float* before = had.before + i * kPanel;
    float* __restrict ds = dstate + i * kPanel;
    float for_q[kPanel], for_k[kPanel];
    for (int64_t c = 0; c < kPanel; ++c) {
      const float d = ds[c] + q[i] * dout[c];
      ds[c] = d;
      dr[c] += k[i] * d;
      for_q[c] = (before[c] * decay + k[i] * had.r[c]) * dout[c];
      for_k[c] = d * had.r[c];
    }
    dq[i] += tree_sum(for_q);
    dk[i] += tree_sum(for_k);
  }
  float du[kPanel], for_beta[kPanel], for_decay[kPanel] = {};
  for (int64_t c = 0; c < kPanel; ++c) {
    du[c] = -beta * dr[c];
    for_beta[c] = dr[c] * (v[c] - had.u[c]);
  }
  to.dbeta[t] += tree_sum(for_beta);
  for (int64_t c = 0; c < p.width; ++c) to.dv[t * p.v_stride + c] = beta * dr[c];
  for (int64_t i = 0; i < p.key_dim; ++i) {
    const float* before = had.before + i * kPanel;
    float* __restrict ds = dstate + i * kPanel;
    float for_k[kPanel];
    for (int64_t c = 0; c < kPanel; ++c) {
      for_k[c] = decay * before[c] * du[c];
      const float d = ds[c] + k[i] * du[c];
      for_decay[c] += d * before[c];
      ds[c] = decay * d;
    }
    dk[i] += tree_sum(for_k);
  }
  to.ddecay[t] += tree_sum(for_decay);
}

}  // namespace

ATTAR_VECTOR_CLONES void delta_forward(const DeltaPanel& panel, float* out, int64_t out_stride,
                                       float* state) {
  std::fill_n(state, panel.key_dim * kPanel, 0.0f);
  float v[kPanel], u[kPanel], r[kPanel], read[kPanel];
  for (int64_t t = 0; t < panel.positions; ++t) {
    load(panel.v + t * panel.v_stride, panel.width, v);
    step(panel, t, v, state, u, r, read);
    for (int64_t c = 0; c < panel.width; ++c) out[t * out_stride + c] = read[c];
  }
}

int64_t delta_backward_room(int64_t positions, int64_t key_dim) {
  const int64_t chunks = (positions + kChunk - 1) / kChunk, states = chunks + kChunk + 2;
  return states * key_dim * kPanel + 2 * kChunk * kPanel;
}

ATTAR_VECTOR_CLONES void delta_backward(const DeltaPanel& panel, const float* dout,
                                        int64_t out_stride, const DeltaGradients& gradients,
                                        float* room) {
  const int64_t size = panel.key_dim * kPanel;
  const int64_t chunks = (panel.positions + kChunk - 1) / kChunk;
  float* dstate = room;
  float* state = dstate + size;
  float* starts = state + size;            // [chunks, key_dim, kPanel]: the state before each chunk
  float* within = starts + chunks * size;  // [kChunk, key_dim, kPanel]: before each position of one
  float* u = within + kChunk * size;       // [kChunk, kPanel]
  float* r = u + kChunk * kPanel;
  float v[kPanel], row[kPanel];

  std::fill_n(state, size, 0.0f);
  for (int64_t t = 0; t < panel.positions; ++t) {
    if (t % kChunk == 0) std::copy_n(state, size, starts + t / kChunk * size);
    load(panel.v + t * panel.v_stride, panel.width, v);
    step(panel, t, v, state, u, r, row);
  }
  std::fill_n(dstate, size, 0.0f);
  for (int64_t chunk = chunks - 1; chunk >= 0; --chunk) {
    const int64_t begin = chunk * kChunk, end = std::min(begin + kChunk, panel.positions);
    std::copy_n(starts + chunk * size, size, state);
    for (int64_t t = begin; t < end; ++t) {
      const int64_t at = t - begin;
      std::copy_n(state, size, within + at * size);
      load(panel.v + t * panel.v_stride, panel.width, v);
      step(panel, t, v, state, u + at * kPanel, r + at * kPanel, row);
    }
    for (int64_t t = end - 1; t >= begin; --t) {
      const int64_t at = t - begin;
      load(dout + t * out_stride, panel.width, row);
      step_back(panel, t, {within + at * size, u + at * kPanel, r + at * kPanel}, row, dstate,
                gradients);
    }
  }
}

}  // namespace attar::kernel
