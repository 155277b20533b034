#include "compress/runtime/delta_net.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compress/base/error.h"
#include "compress/kernels/kernel_table.h"
#include "compress/runtime/mlp.h"

namespace attar {
namespace {

constexpr int64_t kChunk = kPanel;  // positions
constexpr float kNormEps = 1e-6f;   // of the L2 norms of q and k

int64_t parts_of(const DeltaNetSpec& spec) {
  return (spec.value_dim + kPanel - 1) / kPanel;
}

double softplus(double x) {
  return x > 30 ? x : std::log1p(std::exp(x));
}

void open(const DeltaNetSpec& spec, DeltaState& state) {
  if (!state.state.empty()) return;
  const auto size = [](int64_t count) { return static_cast<size_t>(count); };
  const int64_t parts = parts_of(spec);
  state.history.resize(size((spec.conv_width - 1) * spec.conv_channels()));
  state.state.resize(size(spec.value_heads * parts * spec.key_dim * kPanel));
  state.keys.resize(size(spec.key_heads * spec.key_dim * kChunk));
  state.deltas.resize(size(spec.value_heads * parts * kChunk * kPanel));
  state.decays.resize(size(spec.value_heads * (kChunk + 1)));
}

}  // namespace

uint64_t DeltaState::bytes() const {
  uint64_t total = 0;
  for (const auto* values : {&history, &state, &keys, &deltas, &decays})
    total += values->capacity() * sizeof(float);
  return total;
}

/// What the recurrence reads, of `rows` positions.
struct DeltaNet::Inputs {
  Buffer q, k;         // [rows, key_heads · key_dim]
  Buffer v;            // [rows, value_heads · value_dim]
  Buffer decay, beta;  // [rows, value_heads]: e^g, β
};

DeltaNet::DeltaNet(const DeltaNetSpec& spec, const WeightSource& weights, const LinearLoader& load)
    : spec_(spec),
      q_(load(spec.q)),
      k_(load(spec.k)),
      v_(load(spec.v)),
      z_(load(spec.z)),
      b_(load(spec.b)),
      a_(load(spec.a)),
      out_(load(spec.out)),
      rate_(load_vector(weights, spec.a_log, spec.value_heads)),
      offset_(load_vector(weights, spec.dt_bias, spec.value_heads)),
      norm_(spec.norm, spec.value_dim, weights) {
  for (float& value : rate_) value = std::exp(value);
  require_finite(spec.a_log + " (its exponential)", rate_);
  const int64_t channels = spec.conv_channels(), width = spec.conv_width;
  const auto stored = load_vector(weights, spec.conv, channels * width);
  conv_.resize(stored.size());
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t i = 0; i < width; ++i)
      conv_[static_cast<size_t>(i * channels + c)] = stored[static_cast<size_t>(c * width + i)];
}

uint64_t DeltaNet::bytes() const {
  uint64_t total = norm_.bytes() + (conv_.size() + rate_.size() + offset_.size()) * sizeof(float);
  for (const Linear* linear : {&q_, &k_, &v_, &z_, &b_, &a_, &out_}) total += linear->bytes();
  return total;
}

void DeltaNet::mix(const float* x, int64_t rows, DeltaState& state, float* mixed,
                   Activations activations, const LinearObserver& observer) const {
  open(spec_, state);
  const int64_t keys = spec_.key_heads * spec_.key_dim, heads = spec_.value_heads;
  const int64_t values = heads * spec_.value_dim;
  Inputs in{buffer(rows, keys), buffer(rows, keys), buffer(rows, values), buffer(rows, heads),
            buffer(rows, heads)};
  const Buffer out = buffer(rows, values), b = buffer(rows, heads), a = buffer(rows, heads);
  multiply(x, rows,
           {{q_, in.q.get()},
            {k_, in.k.get()},
            {v_, in.v.get()},
            {z_, mixed},
            {b_, b.get()},
            {a_, a.get()}},
           activations, observer);
  convolve(in.q.get(), rows, keys, 0, state);
  convolve(in.k.get(), rows, keys, keys, state);
  convolve(in.v.get(), rows, values, 2 * keys, state);
  gates(b.get(), a.get(), rows, in);

  recur(in, rows, state, out.get());
  state.length += rows;
  norm_.apply(out.get(), rows * heads, out.get());
  activate(Activation::silu, mixed, out.get(), rows * values);  // silu(z) · normed
}

/// x [rows, width] in place: the convolution of channels [channel, channel + width), and SiLU.
void DeltaNet::convolve(float* x, int64_t rows, int64_t width, int64_t channel,
                        DeltaState& state) const {
  constexpr int64_t kStripe = 256;  // channels
  const int64_t taps = spec_.conv_width, channels = spec_.conv_channels(), past = taps - 1;
  parallel_for(width, kStripe, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    float* history = state.history.data() + channel + begin;  // rows of `channels`
    // The inputs before the first row, then the rows; `past` positions before each are needed.
    const auto input = [&](int64_t row) {
      return row < 0 ? history + (row + past) * channels : x + row * width + begin;
    };
    std::vector<float> last(static_cast<size_t>(past * n));
    for (int64_t i = 0; i < past; ++i) std::copy_n(input(rows - past + i), n, last.data() + i * n);
    std::vector<float> sum(static_cast<size_t>(n));
    for (int64_t row = rows - 1; row >= 0; --row) {  // backwards: nobody reads a row after it
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (int64_t i = 0; i < taps; ++i) {
        const float* from = input(row - past + i);
        const float* weight = conv_.data() + i * channels + channel + begin;
        for (int64_t c = 0; c < n; ++c) sum[static_cast<size_t>(c)] += weight[c] * from[c];
      }
      std::copy(sum.begin(), sum.end(), x + row * width + begin);
    }
    for (int64_t i = 0; i < past; ++i) std::copy_n(last.data() + i * n, n, history + i * channels);
  });
  activate(Activation::silu, x, nullptr, rows * width);
}

void DeltaNet::gates(const float* b, const float* a, int64_t rows, Inputs& in) const {
  const auto heads = static_cast<size_t>(spec_.value_heads);
  for (size_t i = 0; i < static_cast<size_t>(rows) * heads; ++i) {
    const double dt = softplus(static_cast<double>(a[i]) + static_cast<double>(offset_[i % heads]));
    in.decay[i] = static_cast<float>(std::exp(-static_cast<double>(rate_[i % heads]) * dt));
    in.beta[i] = static_cast<float>(1 / (1 + std::exp(-static_cast<double>(b[i]))));
  }
}

void DeltaNet::recur(const Inputs& in, int64_t rows, DeltaState& state, float* out) const {
  parallel_for(spec_.key_heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t key_head = begin; key_head < end; ++key_head) head(in, key_head, rows, state, out);
  });
}

namespace {

/// Buffers of one thread.
struct Scratch {
  std::vector<float> x;       // [key_dim, 2n]: keys, then queries of n positions
  std::vector<float> dots;    // [2n, 32]: with the chunk's keys
  std::vector<float> base;    // [parts, 2n, 32]: with the state
  std::vector<float> scaled;  // [32 positions, key_dim]
};

/// One head's positions, its dimensions divided by their Euclidean length and times `scale`, as
/// columns of `to` [dims, stride].
void normalize_column(const float* from, int64_t dims, float scale, float* to, int64_t stride) {
  const float factor = scale / std::sqrt(kernels().sum_of_squares(from, dims) + kNormEps);
  for (int64_t d = 0; d < dims; ++d) to[d * stride] = from[d] * factor;
}

/// A piece of a chunk for one value head: positions [fill, fill + n) of the chunk.
struct Piece {
  int64_t fill, n, key_dim, value_dim, parts;
  float* state;                   // [parts, key_dim, 32]
  float* deltas;                  // [parts, 32, 32]
  float* decays;                  // [33]
  const float *v, *decay, *beta;  // of the first position
  int64_t v_stride, gate_stride;
  float* out;
  int64_t out_stride;

  void run(Scratch& scratch) const {
    scratch.base.resize(static_cast<size_t>(parts * 2 * n * kPanel));
    for (int64_t part = 0; part < parts; ++part)
      kernels().tile(2 * n, key_dim, scratch.x.data(), 2 * n, state + part * key_dim * kPanel,
                     base(scratch, part), kPanel, false);
    if (fill == 0) decays[0] = 1;
    for (int64_t i = 0; i < n; ++i) position(i, scratch);
  }

  /// S = w(−1, 31) S + Σ w(j, 31) k_j d_jᵀ; keys [key_dim, 32 positions].
  void close(const float* keys, Scratch& scratch) const {
    scratch.scaled.resize(static_cast<size_t>(kChunk * key_dim));
    for (int64_t d = 0; d < key_dim; ++d)
      for (int64_t j = 0; j < kChunk; ++j)
        scratch.scaled[static_cast<size_t>(j * key_dim + d)] = decays[1 + j] * keys[d * kChunk + j];
    for (int64_t i = 0; i < parts * key_dim * kPanel; ++i) state[i] *= decays[0];
    for (int64_t part = 0; part < parts; ++part)
      kernels().tile(key_dim, kChunk, scratch.scaled.data(), key_dim,
                     deltas + part * kChunk * kPanel, state + part * key_dim * kPanel, kPanel,
                     true);
  }

 private:
  float* base(Scratch& scratch, int64_t part) const {
    return scratch.base.data() + part * 2 * n * kPanel;
  }

  void position(int64_t i, Scratch& scratch) const {
    const int64_t t = fill + i;
    for (int64_t j = 0; j <= t; ++j) decays[j] *= decay[i * gate_stride];
    decays[1 + t] = 1;
    float with_keys[kChunk], with_queries[kChunk];  // w(j, t) k_j·k_t and w(j, t) k_j·q_t
    const float* k_dots = scratch.dots.data() + i * kChunk;
    const float* q_dots = scratch.dots.data() + (n + i) * kChunk;
    for (int64_t j = 0; j <= t; ++j) {
      with_keys[j] = decays[1 + j] * k_dots[j];
      with_queries[j] = decays[1 + j] * q_dots[j];
    }
    for (int64_t part = 0; part < parts; ++part) {
      float* read = base(scratch, part) + i * kPanel;
      float* result = base(scratch, part) + (n + i) * kPanel;
      float* mine = deltas + part * kChunk * kPanel;
      const int64_t dims = std::min(kPanel, value_dim - part * kPanel);
      for (int64_t c = 0; c < kPanel; ++c) {
        read[c] *= decays[0];
        result[c] *= decays[0];
      }
      if (t > 0) kernels().tile(1, t, with_keys, 1, mine, read, kPanel, true);
      const float* value = v + i * v_stride + part * kPanel;
      for (int64_t c = 0; c < dims; ++c)
        mine[t * kPanel + c] = beta[i * gate_stride] * (value[c] - read[c]);
      kernels().tile(1, t + 1, with_queries, 1, mine, result, kPanel, true);
      std::copy_n(result, dims, out + i * out_stride + part * kPanel);
    }
  }
};

}  // namespace

/// All value heads that share a key head.
void DeltaNet::head(const Inputs& in, int64_t key_head, int64_t rows, DeltaState& state,
                    float* out) const {
  static thread_local Scratch scratch;
  const int64_t dims = spec_.key_dim, key_width = spec_.key_heads * dims;
  const int64_t value_width = spec_.value_heads * spec_.value_dim, parts = parts_of(spec_);
  const int64_t group = spec_.value_heads / spec_.key_heads;
  const float scale = 1 / std::sqrt(static_cast<float>(dims));
  float* keys = state.keys.data() + key_head * dims * kChunk;

  for (int64_t row = 0, n = 0; row < rows; row += n) {
    const int64_t fill = (state.length + row) % kChunk;
    n = std::min(rows - row, kChunk - fill);
    scratch.x.resize(static_cast<size_t>(dims * 2 * n));
    scratch.dots.resize(static_cast<size_t>(2 * n * kChunk));
    for (int64_t i = 0; i < n; ++i) {
      const int64_t from = (row + i) * key_width + key_head * dims;
      normalize_column(in.k.get() + from, dims, 1, scratch.x.data() + i, 2 * n);
      normalize_column(in.q.get() + from, dims, scale, scratch.x.data() + n + i, 2 * n);
      for (int64_t d = 0; d < dims; ++d)
        keys[d * kChunk + fill + i] = scratch.x[static_cast<size_t>(d * 2 * n + i)];
    }
    kernels().tile(2 * n, dims, scratch.x.data(), 2 * n, keys, scratch.dots.data(), kChunk, false);
    for (int64_t value_head = key_head * group; value_head < (key_head + 1) * group; ++value_head) {
      const int64_t value = row * value_width + value_head * spec_.value_dim;
      const int64_t gate = row * spec_.value_heads + value_head;
      const Piece piece{fill,
                        n,
                        dims,
                        spec_.value_dim,
                        parts,
                        state.state.data() + value_head * parts * dims * kPanel,
                        state.deltas.data() + value_head * parts * kChunk * kPanel,
                        state.decays.data() + value_head * (kChunk + 1),
                        in.v.get() + value,
                        in.decay.get() + gate,
                        in.beta.get() + gate,
                        value_width,
                        spec_.value_heads,
                        out + value,
                        value_width};
      piece.run(scratch);
      if (fill + n == kChunk) piece.close(keys, scratch);
    }
  }
}

}  // namespace attar
