#include "tests/model/reference_model.h"

#include <cmath>

namespace attar {
namespace {

at::Tensor activation(const at::Tensor& x, Activation kind) {
  switch (kind) {
    case Activation::silu:
      return x * at::sigmoid(x);
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + at::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x.pow(3))));
    case Activation::gelu_erf:
      return 0.5 * x * (1 + at::erf(x / std::sqrt(2.0)));
    case Activation::relu:
      return at::clamp_min(x, 0);
    case Activation::relu_squared:
      return at::clamp_min(x, 0).pow(2);
  }
  return {};
}

/// [B, T, T]: 0 where the query (row) sees the key, −∞ elsewhere.
at::Tensor visibility(const AttentionSpec& spec, const ModelInput& input) {
  const int64_t sequences = input.ids.size(0), positions = input.ids.size(1);
  const at::Tensor mask = at::zeros({sequences, positions, positions}, at::kDouble);
  double* values = mask.data_ptr<double>();
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t length = input.lengths.defined() ? input.lengths[s].item<int64_t>() : positions;
    for (int64_t i = 0; i < positions; ++i)
      for (int64_t j = 0; j < positions; ++j) {
        bool seen = j < length;
        if (spec.causal) seen = seen && j <= i && (!spec.window || j > i - spec.window);
        if (!seen) values[(s * positions + i) * positions + j] = -INFINITY;
      }
  }
  return mask;
}

}  // namespace

ReferenceModel::ReferenceModel(const ModelSpec& spec, const ParameterStore& store) : spec_(spec) {
  for (size_t i = 0; i < store.entries().size(); ++i)
    leaves_[store.entries()[i].name] =
        store.value(static_cast<int64_t>(i)).to(at::kDouble).clone().requires_grad_(true);
}

at::Tensor ReferenceModel::linear(const at::Tensor& x, const LinearSpec& spec) const {
  const at::Tensor y = at::matmul(x, leaf(spec.weight).t());
  return spec.bias.empty() ? y : y + leaf(spec.bias);
}

at::Tensor ReferenceModel::norm(const at::Tensor& x, const NormSpec& spec) const {
  if (spec.kind == NormKind::none) return x;
  const at::Tensor centered = spec.kind == NormKind::layer ? x - x.mean(-1, true) : x;
  at::Tensor y = centered / at::sqrt(centered.pow(2).mean(-1, true) + spec.eps);
  y = y * (leaf(spec.weight) + spec.weight_offset);
  return spec.bias.empty() ? y : y + leaf(spec.bias);
}

/// x [B, heads, T, head_dim]
at::Tensor ReferenceModel::rotate(const at::Tensor& x, const RopeSpec& spec) const {
  const int64_t positions = x.size(2), half = spec.dims / 2;
  const at::Tensor frequencies = at::tensor(spec.frequencies(positions), at::kDouble);
  const at::Tensor angles = at::arange(positions, at::kDouble).unsqueeze(1) * frequencies;
  const at::Tensor cos = angles.cos() * spec.attention_factor,
                   sin = angles.sin() * spec.attention_factor;
  const at::Tensor a = x.narrow(3, 0, half), b = x.narrow(3, half, half);
  return at::cat(
      {a * cos - b * sin, b * cos + a * sin, x.narrow(3, spec.dims, x.size(3) - spec.dims)}, 3);
}

at::Tensor ReferenceModel::attention(const at::Tensor& y, const AttentionSpec& spec,
                                     const at::Tensor& mask) const {
  const int64_t sequences = y.size(0), positions = y.size(1);
  const auto heads = [&](const at::Tensor& x, int64_t count) {
    return x.view({sequences, positions, count, -1}).transpose(1, 2);
  };
  at::Tensor q = heads(linear(y, spec.q), spec.heads), gate;
  if (spec.gated) {
    gate = q.narrow(3, spec.head_dim, spec.head_dim);
    q = q.narrow(3, 0, spec.head_dim);
  }
  at::Tensor k = heads(linear(y, spec.k), spec.kv_heads);
  at::Tensor v = heads(linear(y, spec.v), spec.kv_heads);
  q = norm(q, spec.q_norm);
  k = norm(k, spec.k_norm);
  if (spec.rope >= 0) {
    q = rotate(q, spec_.ropes[static_cast<size_t>(spec.rope)]);
    k = rotate(k, spec_.ropes[static_cast<size_t>(spec.rope)]);
  }
  const int64_t group = spec.heads / spec.kv_heads;
  k = k.repeat_interleave(group, 1);
  v = v.repeat_interleave(group, 1);
  at::Tensor scores = at::matmul(q, k.transpose(2, 3)) * spec.scale;
  if (spec.softcap > 0) scores = spec.softcap * at::tanh(scores / spec.softcap);
  at::Tensor out = at::matmul(at::softmax(scores + mask.unsqueeze(1), -1), v);
  if (gate.defined()) out = out * at::sigmoid(gate);
  out = out.transpose(1, 2).reshape({sequences, positions, spec.heads * spec.head_dim});
  return linear(norm(out, spec.o_norm), spec.o);
}

at::Tensor ReferenceModel::delta_net(const at::Tensor& y, const DeltaNetSpec& spec) const {
  const int64_t sequences = y.size(0), positions = y.size(1), width = spec.conv_width;
  const int64_t keys = spec.key_heads * spec.key_dim, values = spec.value_heads * spec.value_dim;
  at::Tensor x = at::cat({linear(y, spec.q), linear(y, spec.k), linear(y, spec.v)}, 2);
  const at::Tensor padded =
      at::cat({at::zeros({sequences, width - 1, x.size(2)}, at::kDouble), x}, 1);
  const at::Tensor conv = leaf(spec.conv);
  at::Tensor sum = at::zeros_like(x);
  for (int64_t i = 0; i < width; ++i)
    sum = sum + padded.narrow(1, i, positions) * conv.select(1, i);
  x = activation(sum, Activation::silu);
  const int64_t group = spec.value_heads / spec.key_heads;
  const auto unit = [&](const at::Tensor& part) {
    const at::Tensor heads = part.reshape({sequences, positions, spec.key_heads, spec.key_dim});
    return (heads / at::sqrt(heads.pow(2).sum(-1, true) + 1e-6)).repeat_interleave(group, 2);
  };
  const at::Tensor q = unit(x.narrow(2, 0, keys)) / std::sqrt(static_cast<double>(spec.key_dim));
  const at::Tensor k = unit(x.narrow(2, keys, keys));
  const at::Tensor v = x.narrow(2, 2 * keys, values)
                           .reshape({sequences, positions, spec.value_heads, spec.value_dim});
  const at::Tensor decay =
      at::exp(-leaf(spec.a_log).exp() * at::log1p(at::exp(linear(y, spec.a) + leaf(spec.dt_bias))));
  const at::Tensor beta = at::sigmoid(linear(y, spec.b));
  at::Tensor state =
      at::zeros({sequences, spec.value_heads, spec.key_dim, spec.value_dim}, at::kDouble);
  std::vector<at::Tensor> outputs;
  for (int64_t t = 0; t < positions; ++t) {
    const at::Tensor kt = k.select(1, t), qt = q.select(1, t), vt = v.select(1, t);
    state = state * decay.select(1, t).unsqueeze(2).unsqueeze(3);
    const at::Tensor known = at::matmul(kt.unsqueeze(2), state).squeeze(2);
    const at::Tensor change = (vt - known) * beta.select(1, t).unsqueeze(2);
    state = state + at::matmul(kt.unsqueeze(3), change.unsqueeze(2));
    outputs.push_back(at::matmul(qt.unsqueeze(2), state).squeeze(2));
  }
  const at::Tensor normed = norm(at::stack(outputs, 1), spec.norm);
  const at::Tensor z = linear(y, spec.z).view(normed.sizes());
  return linear((normed * activation(z, Activation::silu)).reshape({sequences, positions, values}),
                spec.out);
}

at::Tensor ReferenceModel::mlp(const at::Tensor& y, const MlpSpec& spec) const {
  at::Tensor x = linear(y, spec.up);
  x = spec.gated() ? activation(linear(y, spec.gate), spec.activation) * x
                   : activation(x, spec.activation);
  return linear(norm(x, spec.down_norm), spec.down);
}

/// Every expert sees every position; what was not chosen has weight 0.
at::Tensor ReferenceModel::moe(const at::Tensor& y, const MoeSpec& spec) const {
  const at::Tensor p = at::softmax(linear(y, spec.router), -1);
  const at::Tensor smallest = std::get<0>(p.topk(spec.top_k, -1)).narrow(-1, spec.top_k - 1, 1);
  at::Tensor weights = p * p.ge(smallest).to(at::kDouble);
  if (spec.renormalize) weights = weights / weights.sum(-1, true);
  at::Tensor out = at::zeros_like(y);
  for (size_t e = 0; e < spec.experts.size(); ++e)
    out = out + weights.narrow(-1, static_cast<int64_t>(e), 1) * mlp(y, spec.experts[e]);
  if (!spec.shared.width) return out;
  const at::Tensor shared = mlp(y, spec.shared);
  return out + (spec.shared_gate.weight.empty()
                    ? shared
                    : shared * at::sigmoid(linear(y, spec.shared_gate)));
}

at::Tensor ReferenceModel::block(const at::Tensor& h, const BlockSpec& spec,
                                 const at::Tensor& mask) const {
  const auto mix = [&](const at::Tensor& y) {
    return spec.delta_net ? delta_net(y, *spec.delta_net) : attention(y, spec.attention, mask);
  };
  const auto transform = [&](const at::Tensor& y) {
    return spec.moe ? moe(y, *spec.moe) : mlp(y, spec.mlp);
  };
  switch (spec.residual) {
    case Residual::pre_norm: {
      const at::Tensor mid = h + norm(mix(norm(h, spec.attention_norm)), spec.post_attention_norm);
      return mid + norm(transform(norm(mid, spec.mlp_norm)), spec.post_mlp_norm);
    }
    case Residual::parallel:
      return h + mix(norm(h, spec.attention_norm)) + transform(norm(h, spec.mlp_norm));
    case Residual::post_norm: {
      const at::Tensor mid = norm(h + mix(h), spec.attention_norm);
      return norm(mid + transform(mid), spec.mlp_norm);
    }
  }
  return {};
}

at::Tensor ReferenceModel::embedded(const ModelInput& input) const {
  at::Tensor h = at::embedding(leaf(spec_.embedding), input.ids) * spec_.embedding_scale;
  if (!spec_.positions.empty())
    h = h + leaf(spec_.positions).narrow(0, spec_.position_offset, input.ids.size(1));
  if (!spec_.token_types.empty())
    h = h + at::embedding(leaf(spec_.token_types), input.token_types.defined()
                                                       ? input.token_types
                                                       : at::zeros_like(input.ids));
  return norm(h, spec_.embedding_norm);
}

at::Tensor ReferenceModel::output(const ModelInput& input) const {
  at::Tensor h = embedded(input);
  for (const BlockSpec& each : spec_.blocks) h = block(h, each, visibility(each.attention, input));
  h = norm(h, spec_.final_norm);
  if (spec_.task == Task::causal_lm) {
    const at::Tensor logits = linear(h, spec_.head);
    return spec_.logit_softcap > 0 ? spec_.logit_softcap * at::tanh(logits / spec_.logit_softcap)
                                   : logits;
  }
  std::vector<at::Tensor> rows;
  for (int64_t s = 0; s < h.size(0); ++s) {
    const int64_t length = input.lengths.defined() ? input.lengths[s].item<int64_t>() : h.size(1);
    rows.push_back(spec_.pooling == Pooling::first_token ? h[s][0]
                                                         : h[s].narrow(0, 0, length).mean(0));
  }
  at::Tensor pooled = at::stack(rows);
  if (spec_.task == Task::embed) return pooled;
  if (!spec_.pooler.weight.empty()) {
    pooled = linear(pooled, spec_.pooler);
    pooled = spec_.pooler_activation == ModelSpec::PoolerActivation::tanh
                 ? at::tanh(pooled)
                 : at::clamp_min(pooled, 0);
  }
  return linear(pooled, spec_.classifier);
}

}  // namespace attar
