// Gated DeltaNet (Yang et al. 2024): the recurrence as an operation, and the layer around it.
#include <algorithm>
#include <cmath>

#include "compress/model/delta_rule.h"
#include "compress/model/layers.h"
#include "compress/model/typed.h"
#include "compress/model/vector_math.h"

namespace attar {
namespace ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr float kLengthEpsilon = 1e-6f;  // added to q's and k's squared lengths

float sigmoid(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}
float softplus(float x) {
  return x > 20 ? x : std::log1p(std::exp(x));
}

/// Decay and β, [B·T, value_heads].
struct Gates {
  at::Tensor decay, beta;
};

Gates gates(const at::Tensor& b, const at::Tensor& a, const DeltaNetParameters& parameters) {
  Gates result{at::empty_like(a), at::empty_like(b)};
  const int64_t heads = a.size(1);
  const float *a_log = data<float>(parameters.a_log.value),
              *dt_bias = data<float>(parameters.dt_bias.value);
  at::parallel_for(0, a.size(0), kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * heads; i < end * heads; ++i) {
      const float speed = std::exp(a_log[i % heads]);
      data<float>(result.decay)[i] =
          std::exp(-speed * softplus(data<float>(a)[i] + dt_bias[i % heads]));
      data<float>(result.beta)[i] = sigmoid(data<float>(b)[i]);
    }
  });
  return result;
}

/// Where the parts of a row of q, k, v lie.
struct Layout {
  const DeltaNetSpec& spec;
  int64_t sequences, positions;

  int64_t channels() const {
    return 2 * spec.key_heads * spec.key_dim + spec.value_heads * spec.value_dim;
  }
  int64_t q(int64_t head) const { return head * spec.key_dim; }
  int64_t k(int64_t head) const { return (spec.key_heads + head) * spec.key_dim; }
  int64_t v(int64_t head) const {
    return 2 * spec.key_heads * spec.key_dim + head * spec.value_dim;
  }
};

/// One key head's q or k of one sequence divided by their lengths, times `scale`, and the way back.
struct Normalized {
  std::vector<float> values, inverse;  // [positions, dim], [positions]

  void from(const float* x, int64_t stride, int64_t positions, int64_t dim, float scale) {
    values.resize(static_cast<size_t>(positions * dim));
    inverse.resize(static_cast<size_t>(positions));
    for (int64_t t = 0; t < positions; ++t) {
      const float* row = x + t * stride;
      const double squares = lane_sum(dim, [row](int64_t i) { return row[i] * row[i]; });
      const float inv = 1.0f / std::sqrt(static_cast<float>(squares) + kLengthEpsilon);
      inverse[static_cast<size_t>(t)] = inv;
      for (int64_t i = 0; i < dim; ++i)
        values[static_cast<size_t>(t * dim + i)] = row[i] * inv * scale;
    }
  }
  /// With u = x · inverse and y = scale · u: dx = inverse · scale · (dy − u (u · dy)).
  void back(const std::vector<float>& dy, int64_t stride, int64_t positions, int64_t dim,
            float scale, float* dx) const {
    for (int64_t t = 0; t < positions; ++t) {
      const float *y = values.data() + t * dim, *d = dy.data() + t * dim;
      const auto dot = static_cast<float>(lane_sum(dim, [=](int64_t i) { return y[i] * d[i]; })) /
                       (scale * scale);
      const float factor = inverse[static_cast<size_t>(t)] * scale;
      for (int64_t i = 0; i < dim; ++i) dx[t * stride + i] = factor * (d[i] - y[i] * dot);
    }
  }
};

struct DeltaRuleFunction : torch::autograd::Function<DeltaRuleFunction> {
  /// Calls body(sequence, key head, its q and k, room for floats) for all of them.
  template <class Body>
  static void for_key_heads(const Layout& l, const at::Tensor& qkv, Body body) {
    at::parallel_for(0, l.sequences * l.spec.key_heads, 1, [&](int64_t begin, int64_t end) {
      Normalized q, k;
      std::vector<float> room;
      for (int64_t task = begin; task < end; ++task) {
        const int64_t s = task / l.spec.key_heads, head = task % l.spec.key_heads;
        const float* rows = data<float>(qkv) + s * l.positions * l.channels();
        q.from(rows + l.q(head), l.channels(), l.positions, l.spec.key_dim, scale(l.spec));
        k.from(rows + l.k(head), l.channels(), l.positions, l.spec.key_dim, 1);
        body(s, head, q, k, room);
      }
    });
  }
  static float scale(const DeltaNetSpec& spec) {
    return 1.0f / std::sqrt(static_cast<float>(spec.key_dim));
  }
  /// Calls body(value head, first column, the panel) for all panels of a key head's value heads.
  template <class Body>
  static void for_panels(const Layout& l, const at::Tensor& qkv, const Gates& gates, int64_t s,
                         int64_t head, const Normalized& q, const Normalized& k, Body body) {
    const int64_t group = l.spec.value_heads / l.spec.key_heads, first_row = s * l.positions;
    for (int64_t h = head * group; h < (head + 1) * group; ++h)
      for (int64_t c = 0; c < l.spec.value_dim; c += kernel::kPanel) {
        const int64_t at = first_row * l.spec.value_heads + h;
        body(h, c,
             kernel::DeltaPanel{
                 l.positions, l.spec.key_dim, std::min(kernel::kPanel, l.spec.value_dim - c),
                 q.values.data(), k.values.data(), data<float>(gates.decay) + at,
                 data<float>(gates.beta) + at, l.spec.value_heads,
                 data<float>(qkv) + first_row * l.channels() + l.v(h) + c, l.channels()});
      }
  }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& qkv, const at::Tensor& b,
                            const at::Tensor& a, const DeltaNetSpec* spec,
                            const DeltaNetParameters* parameters, int64_t sequences) {
    ctx->save_for_backward({qkv, b, a});
    ctx->saved_data["spec"] = reinterpret_cast<int64_t>(spec);
    ctx->saved_data["parameters"] = reinterpret_cast<int64_t>(parameters);
    ctx->saved_data["sequences"] = sequences;
    const Layout l{*spec, sequences, qkv.size(0) / sequences};
    const Gates open = gates(b, a, *parameters);
    const int64_t width = spec->value_heads * spec->value_dim;
    const at::Tensor out = at::empty({qkv.size(0), width}, at::kFloat);
    for_key_heads(l, qkv,
                  [&](int64_t s, int64_t head, const Normalized& q, const Normalized& k,
                      std::vector<float>& room) {
                    room.resize(static_cast<size_t>(spec->key_dim * kernel::kPanel));
                    for_panels(l, qkv, open, s, head, q, k,
                               [&](int64_t h, int64_t c, const kernel::DeltaPanel& panel) {
                                 kernel::delta_forward(panel,
                                                       data<float>(out) + s * l.positions * width +
                                                           h * spec->value_dim + c,
                                                       width, room.data());
                               });
                  });
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &qkv = saved[0], &b = saved[1], &a = saved[2], dout = grads[0].contiguous();
    const auto* spec = reinterpret_cast<const DeltaNetSpec*>(ctx->saved_data["spec"].toInt());
    const auto* parameters =
        reinterpret_cast<const DeltaNetParameters*>(ctx->saved_data["parameters"].toInt());
    const int64_t sequences = ctx->saved_data["sequences"].toInt();
    const Layout l{*spec, sequences, qkv.size(0) / sequences};
    const Gates open = gates(b, a, *parameters);
    const int64_t width = spec->value_heads * spec->value_dim;
    const at::Tensor dqkv = at::empty_like(qkv);
    const Gates dopen{at::empty_like(a), at::empty_like(b)};
    for_key_heads(
        l, qkv,
        [&](int64_t s, int64_t head, const Normalized& q, const Normalized& k,
            std::vector<float>& room) {
          room.resize(static_cast<size_t>(kernel::delta_backward_room(l.positions, spec->key_dim)));
          std::vector<float> dq(q.values.size(), 0.0f), dk(k.values.size(), 0.0f);
          const auto positions = static_cast<size_t>(l.positions);
          std::vector<float> ddecay(positions), dbeta(positions);
          float* rows = data<float>(dqkv) + s * l.positions * l.channels();
          for_panels(
              l, qkv, open, s, head, q, k,
              [&](int64_t h, int64_t c, const kernel::DeltaPanel& panel) {
                if (c == 0) {
                  std::fill(ddecay.begin(), ddecay.end(), 0.0f);
                  std::fill(dbeta.begin(), dbeta.end(), 0.0f);
                }
                kernel::delta_backward(
                    panel, data<float>(dout) + s * l.positions * width + h * spec->value_dim + c,
                    width, {dq.data(), dk.data(), ddecay.data(), dbeta.data(), rows + l.v(h) + c},
                    room.data());
                // The last panel of the head leaves the sums complete.
                for (int64_t t = 0; t < l.positions; ++t) {
                  const int64_t at = (s * l.positions + t) * spec->value_heads + h;
                  data<float>(dopen.decay)[at] = ddecay[static_cast<size_t>(t)];
                  data<float>(dopen.beta)[at] = dbeta[static_cast<size_t>(t)];
                }
              });
          q.back(dq, l.channels(), l.positions, spec->key_dim, scale(*spec), rows + l.q(head));
          k.back(dk, l.channels(), l.positions, spec->key_dim, 1, rows + l.k(head));
        });
    const auto [da, db] = gates_backward(a, *parameters, open, dopen);
    return {dqkv, db, da, {}, {}, {}};
  }

  /// With g = −e^a_log · softplus(a + dt_bias), decay = e^g, β = sigmoid(b). Returns da, db.
  static std::pair<at::Tensor, at::Tensor> gates_backward(const at::Tensor& a,
                                                          const DeltaNetParameters& parameters,
                                                          const Gates& open, const Gates& dopen) {
    const at::Tensor da = at::empty_like(a), db = at::empty_like(a);
    const int64_t heads = a.size(1), rows = a.size(0);
    at::parallel_for(0, heads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t h = begin; h < end; ++h) {
        const float speed = std::exp(data<float>(parameters.a_log.value)[h]);
        const float dt = data<float>(parameters.dt_bias.value)[h];
        double for_a_log = 0, for_dt = 0;
        for (int64_t i = h; i < rows * heads; i += heads) {
          const float x = data<float>(a)[i] + dt, beta = data<float>(open.beta)[i];
          const float dg = data<float>(dopen.decay)[i] * data<float>(open.decay)[i];
          const float dx = -dg * speed * sigmoid(x);
          data<float>(da)[i] = dx;
          data<float>(db)[i] = data<float>(dopen.beta)[i] * beta * (1.0f - beta);
          for_a_log += static_cast<double>(-dg * speed * softplus(x));
          for_dt += static_cast<double>(dx);
        }
        if (parameters.a_log.gradient.defined())
          data<float>(parameters.a_log.gradient)[h] += static_cast<float>(for_a_log);
        if (parameters.dt_bias.gradient.defined())
          data<float>(parameters.dt_bias.gradient)[h] += static_cast<float>(for_dt);
      }
    });
    return {da, db};
  }
};

}  // namespace

at::Tensor delta_rule(const at::Tensor& qkv, const at::Tensor& b, const at::Tensor& a,
                      const DeltaNetSpec& spec, const DeltaNetParameters& parameters,
                      int64_t sequences) {
  return DeltaRuleFunction::apply(qkv, b, a, &spec, &parameters, sequences);
}

}  // namespace ops

void DeltaNetLayer::declare(Declaration& declaration, const DeltaNetSpec& from) {
  spec = &from;
  const int64_t channels = 2 * from.key_heads * from.key_dim + from.value_heads * from.value_dim;
  declaration.projection(qkvz, {&from.q, &from.k, &from.v, &from.z});
  declaration.projection(ba, {&from.b, &from.a}, true);
  declaration.parameter(parameters.conv, from.conv, {channels, from.conv_width});
  declaration.parameter(parameters.a_log, from.a_log, {from.value_heads});
  declaration.parameter(parameters.dt_bias, from.dt_bias, {from.value_heads});
  declaration.norm(norm, from.norm, from.value_dim);
  declaration.projection(out, {&from.out});
}

at::Tensor DeltaNetLayer::forward(const at::Tensor& y, const Pass& pass) const {
  const int64_t z_width = spec->value_heads * spec->value_dim;
  const at::Tensor wide = qkvz.forward(y, pass, place::kIn);
  const auto parts = at::split_with_sizes(wide, {wide.size(1) - z_width, z_width}, 1);
  const auto open = at::split_with_sizes(ba.forward(y, pass, place::kGates).to(at::kFloat),
                                         {spec->value_heads, spec->value_heads}, 1);
  const at::Tensor qkv =
      ops::short_convolution(parts[0].to(at::kFloat).contiguous(), parameters.conv, pass.sequences);
  const at::Tensor read = ops::delta_rule(qkv, open[0].contiguous(), open[1].contiguous(), *spec,
                                          parameters, pass.sequences);
  const at::Tensor normed = ops::norm_rows(read, norm, spec->value_dim).to(y.scalar_type());
  return out.forward(ops::gated(at::cat({parts[1], normed}, 1), Activation::silu), pass,
                     place::kOut);
}

}  // namespace attar
