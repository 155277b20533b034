// Heads, rotary embedding and attention.
//
// Scores are made for one sequence and one block of queries at a time, so that they stay in the
// cache and keys after the block are never touched; the way back makes them again instead of
// keeping them (Dao et al.: FlashAttention, 2022, without the tiling over keys).
#include <algorithm>
#include <cmath>

#include "compress/model/ops.h"
#include "compress/model/typed.h"

namespace attar::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using torch_compat::optional;
using torch_compat::OptionalTensor;
using torch_compat::tensor;

constexpr int64_t kQueryBlock = 256;

// ---- heads
// ---------------------------------------------------------------------------------------------

struct HeadLayout {
  int64_t heads, kv_heads, head_dim, dims, sequences, positions;
  int64_t width() const { return (heads + 2 * kv_heads) * head_dim; }
};

/// Calls body(row of qkv, part of it, where that part's heads lie in position order).
template <class T, class Body>
void for_each_part(const HeadLayout& l, T* qkv, T* q, T* k, T* v, const float* cos,
                   const float* sin, Body body) {
  at::parallel_for(0, l.sequences * l.positions, kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t sequence = row / l.positions, t = row % l.positions;
      T* part = qkv + row * l.width();
      int64_t dims = l.dims;
      for (auto [heads_at, heads] : {std::pair{q, l.heads}, {k, l.kv_heads}, {v, l.kv_heads}}) {
        if (heads_at == v) dims = 0;
        const kernel::Rotate<T> rotate{heads,
                                       l.head_dim,
                                       dims,
                                       l.positions * l.head_dim,
                                       cos ? cos + t * l.dims / 2 : nullptr,
                                       sin ? sin + t * l.dims / 2 : nullptr};
        body(rotate, part, heads_at + (sequence * heads * l.positions + t) * l.head_dim);
        part += heads * l.head_dim;
      }
    }
  });
}

struct SplitFunction : torch::autograd::Function<SplitFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& qkv,
                               const OptionalTensor& cosines, const OptionalTensor& sines,
                               int64_t heads, int64_t kv_heads, int64_t head_dim,
                               int64_t sequences) {
    const at::Tensor cos = tensor(cosines), sin = tensor(sines);
    const HeadLayout l{heads,     kv_heads,
                       head_dim,  cos.defined() ? 2 * cos.size(1) : 0,
                       sequences, qkv.size(0) / sequences};
    const at::Tensor q = at::empty({sequences, heads, l.positions, head_dim}, qkv.options());
    const at::Tensor k = at::empty({sequences, kv_heads, l.positions, head_dim}, qkv.options());
    const at::Tensor v = at::empty_like(k);
    with_type(qkv.scalar_type(), [&]<class T>(T) {
      for_each_part(l, data<T>(qkv), data<T>(q), data<T>(k), data<T>(v), data<float>(cos),
                    data<float>(sin), [](const auto& rotate, T* part, T* heads_at) {
                      kernel::rotate_out(rotate, part, heads_at);
                    });
    });
    ctx->save_for_backward({cos, sin});
    ctx->saved_data["layout"] =
        std::vector<int64_t>{heads, kv_heads, head_dim, l.dims, sequences, l.positions};
    return {q, k, v};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto n = ctx->saved_data["layout"].toIntVector();
    const HeadLayout l{n[0], n[1], n[2], n[3], n[4], n[5]};
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor q = grads[0].contiguous(), k = grads[1].contiguous(),
                     v = grads[2].contiguous();
    const at::Tensor dqkv = at::empty({l.sequences * l.positions, l.width()}, q.options());
    with_type(dqkv.scalar_type(), [&]<class T>(T) {
      for_each_part(l, data<T>(dqkv), data<T>(q), data<T>(k), data<T>(v), data<float>(saved[0]),
                    data<float>(saved[1]), [](const auto& rotate, T* part, T* heads_at) {
                      kernel::rotate_back(rotate, heads_at, part);
                    });
    });
    return {dqkv, {}, {}, {}, {}, {}, {}};
  }
};

// ---- attention
// -----------------------------------------------------------------------------------------

/// Which keys a query sees.
struct Visibility {
  bool causal;
  int64_t window;  // 0 = all up to the query
  int64_t length;  // of the sequence without its padding

  int64_t first(int64_t t) const {
    return causal && window ? std::max<int64_t>(0, t - window + 1) : 0;
  }
  int64_t last(int64_t t) const { return causal ? t + 1 : length; }
};

/// Queries [begin, end) of one sequence and the keys [first, last) that any of them sees.
struct QueryBlock {
  int64_t begin, end, first, last;
};

std::vector<QueryBlock> query_blocks(int64_t positions, const Visibility& visible) {
  std::vector<QueryBlock> blocks;
  for (int64_t begin = 0; begin < positions; begin += kQueryBlock) {
    const int64_t end = std::min(begin + kQueryBlock, positions);
    blocks.push_back({begin, end, visible.first(begin), visible.last(end - 1)});
  }
  return blocks;
}

/// x [heads, T, dim] -> the block's rows with the heads of one group one after the other,
/// [kv_heads, group · (end − begin), dim].
at::Tensor gather(const at::Tensor& x, const QueryBlock& block, int64_t kv_heads) {
  return x.narrow(1, block.begin, block.end - block.begin).reshape({kv_heads, -1, x.size(2)});
}

/// Calls body(row's first score, first visible key, one past the last) for every row of `scores`
/// [kv_heads, group · queries, keys]; key indices are relative to block.first.
template <class T, class Body>
void for_each_score_row(const at::Tensor& scores, const QueryBlock& block,
                        const Visibility& visible, Body body) {
  const int64_t rows = scores.size(0) * scores.size(1), keys = scores.size(2);
  const int64_t queries = block.end - block.begin;
  at::parallel_for(0, rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t t = block.begin + row % queries;
      body(row * keys, visible.first(t) - block.first, visible.last(t) - block.first);
    }
  });
}

/// Both [kv_heads, group · queries, keys].
struct Probabilities {
  at::Tensor p;
  at::Tensor capped;  // tanh(scale / cap · score), where scores are capped
};

/// What softmax multiplies by: scores, or their capped form, which is ±1 at most.
float softmax_scale(const AttentionSpec& spec) {
  return spec.softcap > 0 ? spec.softcap : spec.scale;
}

Probabilities probabilities(const at::Tensor& q, const at::Tensor& k, const QueryBlock& block,
                            const AttentionSpec& spec, const Visibility& visible) {
  const at::Tensor keys = k.narrow(1, block.first, block.last - block.first);
  Probabilities result{at::bmm(q, keys.transpose(1, 2)), {}};
  const at::Tensor& p = result.p;
  if (spec.softcap > 0) {
    p.mul_(spec.scale / spec.softcap).tanh_();
    result.capped = p.clone();
  }
  const int64_t length = p.size(2);
  with_type(p.scalar_type(), [&]<class T>(T) {
    for_each_score_row<T>(p, block, visible, [&](int64_t at, int64_t first, int64_t last) {
      thread_local std::vector<float> scratch;
      scratch.resize(static_cast<size_t>(length));
      kernel::softmax_row(data<T>(p) + at, length, first, last, softmax_scale(spec),
                          scratch.data());
    });
  });
  return result;
}

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  static Visibility visibility(const AttentionSpec& spec, const at::Tensor& lengths, int64_t s,
                               int64_t positions) {
    return {spec.causal, spec.window,
            lengths.defined() ? lengths.data_ptr<int64_t>()[s] : positions};
  }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const OptionalTensor& optional_lengths,
                            const AttentionSpec* spec) {
    const at::Tensor lengths = tensor(optional_lengths);
    ctx->save_for_backward({q, k, v, lengths});
    ctx->saved_data["spec"] = reinterpret_cast<int64_t>(spec);
    const int64_t sequences = q.size(0), heads = q.size(1), positions = q.size(2), dim = q.size(3);
    const at::Tensor out = at::empty({sequences, positions, heads, dim}, q.options());
    for (int64_t s = 0; s < sequences; ++s) {
      const Visibility visible = visibility(*spec, lengths, s, positions);
      for (const QueryBlock& block : query_blocks(positions, visible)) {
        const at::Tensor p =
            probabilities(gather(q[s], block, k.size(1)), k[s], block, *spec, visible).p;
        const at::Tensor values = v[s].narrow(1, block.first, block.last - block.first);
        const int64_t queries = block.end - block.begin;
        out[s]
            .narrow(0, block.begin, queries)
            .copy_(at::bmm(p, values).view({heads, queries, dim}).transpose(0, 1));
      }
    }
    return out.view({sequences * positions, heads * dim});
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &lengths = saved[3];
    const auto* spec = reinterpret_cast<const AttentionSpec*>(ctx->saved_data["spec"].toInt());
    const int64_t positions = q.size(2);
    const at::Tensor dout =
        grads[0].contiguous().view({q.size(0), positions, q.size(1), q.size(3)});
    const at::Tensor dq = at::empty_like(q);
    const bool several = positions > kQueryBlock;  // key gradients are then sums, kept in float32
    const bool padded = lengths.defined();         // keys behind the length have none
    const auto sum_type = several ? at::TensorOptions(at::kFloat) : k.options();
    const auto begin_sum = [&](const at::Tensor& x) {
      return several || padded ? at::zeros(x.sizes(), sum_type) : at::empty_like(x);
    };
    const at::Tensor dk = begin_sum(k), dv = begin_sum(v);
    for (int64_t s = 0; s < q.size(0); ++s) {
      const Visibility visible = visibility(*spec, lengths, s, positions);
      for (const QueryBlock& block : query_blocks(positions, visible))
        one_block(q[s], k[s], v[s], dout[s].transpose(0, 1), block, *spec, visible, several, dq[s],
                  dk[s], dv[s]);
    }
    return {dq, dk.to(k.scalar_type()), dv.to(v.scalar_type()), {}, {}};
  }

  /// With P the probabilities and dS the gradient of the unscaled scores: dV = Pᵀ dO, dP = dO Vᵀ,
  /// dQ = dS K, dK = dSᵀ Q.
  static void one_block(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        const at::Tensor& dout, const QueryBlock& block, const AttentionSpec& spec,
                        const Visibility& visible, bool several, const at::Tensor& dq,
                        const at::Tensor& dk, const at::Tensor& dv) {
    const int64_t count = block.last - block.first, queries = block.end - block.begin;
    const at::Tensor queries_in = gather(q, block, k.size(0));
    const at::Tensor dout_in = gather(dout, block, k.size(0));
    const auto [p, capped] = probabilities(queries_in, k, block, spec, visible);
    const at::Tensor ds = at::bmm(dout_in, v.narrow(1, block.first, count).transpose(1, 2));
    const at::Tensor dv_part = at::bmm(p.transpose(1, 2), dout_in);
    with_type(p.scalar_type(), [&, &p = p]<class T>(T) {
      for_each_score_row<T>(p, block, visible, [&](int64_t at, int64_t first, int64_t last) {
        kernel::softmax_row_backward(data<T>(p) + at, data<T>(ds) + at, count, first, last,
                                     softmax_scale(spec));
      });
    });
    if (capped.defined()) ds.mul_((1 - capped * capped).mul_(spec.scale / spec.softcap));
    dq.narrow(1, block.begin, queries)
        .copy_(at::bmm(ds, k.narrow(1, block.first, count)).view({q.size(0), queries, q.size(2)}));
    const at::Tensor dk_part = at::bmm(ds.transpose(1, 2), queries_in);
    if (several) {
      dk.narrow(1, block.first, count).add_(dk_part);
      dv.narrow(1, block.first, count).add_(dv_part);
    } else {
      dk.narrow(1, block.first, count).copy_(dk_part);
      dv.narrow(1, block.first, count).copy_(dv_part);
    }
  }
};

}  // namespace

RopeTensors rope_tensors(const RopeSpec& spec, int64_t positions) {
  const std::vector<double> frequencies = spec.frequencies(positions);
  const auto pairs = static_cast<int64_t>(frequencies.size());
  RopeTensors tensors{at::empty({positions, pairs}, at::kFloat),
                      at::empty({positions, pairs}, at::kFloat)};
  for (int64_t t = 0; t < positions; ++t)
    for (int64_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(t) * frequencies[static_cast<size_t>(i)];
      data<float>(tensors.cos)[t * pairs + i] =
          spec.attention_factor * static_cast<float>(std::cos(angle));
      data<float>(tensors.sin)[t * pairs + i] =
          spec.attention_factor * static_cast<float>(std::sin(angle));
    }
  return tensors;
}

Heads split_heads(const at::Tensor& qkv, const AttentionSpec& spec, const RopeTensors* rope,
                  int64_t sequences) {
  const auto parts = SplitFunction::apply(qkv, rope ? OptionalTensor(rope->cos) : OptionalTensor(),
                                          rope ? OptionalTensor(rope->sin) : OptionalTensor(),
                                          spec.heads, spec.kv_heads, spec.head_dim, sequences);
  return {parts[0], parts[1], parts[2]};
}

at::Tensor attention(const Heads& heads, const AttentionSpec& spec, const at::Tensor& lengths) {
  return AttentionFunction::apply(heads.q, heads.k, heads.v, optional(lengths), &spec);
}

}  // namespace attar::ops
