#include "compress/model/linear_group.h"

#include <cassert>
#include <utility>

#include "compress/base/random.h"
#include "compress/model/typed.h"

namespace attar {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// 1 / (1 − p) where kept, 0 where dropped; [rows, cols] in x's type.
at::Tensor dropout_mask(const at::Tensor& x, double p, uint64_t seed) {
  at::Tensor mask = at::empty(x.sizes(), at::kFloat);
  float* values = mask.data_ptr<float>();
  const auto keep = static_cast<float>(1.0 / (1.0 - p));
  const int64_t cols = x.size(1);
  at::parallel_for(0, x.size(0), 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      Random random(seed ^ (static_cast<uint64_t>(row) * 0x9e3779b97f4a7c15ull));
      for (int64_t i = 0; i < cols; ++i)
        values[row * cols + i] = random.uniform() < p ? 0.0f : keep;
    }
  });
  return mask.to(x.scalar_type());
}

}  // namespace

void accumulate(const at::Tensor& sum, const at::Tensor& x) {
  assert(sum.is_contiguous() && x.is_contiguous() && sum.numel() == x.numel());
  float* to = sum.data_ptr<float>();
  const bool half = x.scalar_type() == at::kBFloat16;
  const void* from = x.data_ptr();
  at::parallel_for(0, sum.numel(), 1 << 16, [&](int64_t begin, int64_t end) {
    if (half)
      kernel::accumulate(to + begin, static_cast<const kernel::Bf16*>(from) + begin, end - begin);
    else
      kernel::accumulate(to + begin, static_cast<const float*>(from) + begin, end - begin);
  });
}

LinearGroup::LinearGroup(std::vector<const LinearSpec*> linears, const ParameterStore& store,
                         int64_t weights, int64_t biases)
    : in_(linears.front()->in) {
  for (const LinearSpec* linear : linears) {
    assert(linear->in == in_);
    members_.push_back({linear, out_});
    out_ += linear->out;
  }
  const auto count = static_cast<int64_t>(linears.size());
  if (weights >= 0) {
    weight_ = store.values(weights, count);
    weight_gradient_ = store.gradients(weights, count);
  }
  if (biases >= 0) {
    bias_ = store.values(biases, count);
    bias_gradient_ = store.gradients(biases, count);
  }
}

void LinearGroup::hold(size_t member, std::span<const float> weight, at::ScalarType dtype,
                       bool nf4) {
  const Member& m = members_[member];
  dtype_ = dtype;
  if (nf4) {
    nf4_.resize(members_.size());
    nf4_[member] = quantize_nf4(weight, m.spec->out, in_);
    return;
  }
  if (!packed_.defined()) packed_ = at::empty({out_, in_}, dtype);
  with_type(dtype, [&]<class T>(T) {
    kernel::narrow(weight.data(), data<T>(packed_) + m.first_row * in_, m.spec->out * in_);
  });
}

void LinearGroup::refresh(at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  if (bias_.defined()) packed_bias_ = bias_.to(dtype);
  if (!adapters_.empty()) return refresh_adapters(dtype);
  if (weight_.defined()) packed_ = weight_.to(dtype);  // float32: the master itself
}

void LinearGroup::refresh_adapters(at::ScalarType dtype) {
  const int64_t rank = adapters_.front().a.size(0);
  const auto count = static_cast<int64_t>(adapters_.size());
  if (!packed_a_.defined()) {
    packed_a_ = at::empty({count * rank, in_}, dtype);
    if (nf4_.empty()) {
      const at::Tensor base = weight_.defined() ? weight_ : packed_;
      packed_ = at::zeros({out_, in_ + count * rank}, dtype);
      packed_.narrow(1, 0, in_).copy_(base);
      packed_b_ = packed_.narrow(1, in_, count * rank);
    } else {
      packed_b_ = at::zeros({out_, count * rank}, dtype);
    }
  }
  for (int64_t i = 0; i < count; ++i) {
    const LowRank& adapter = adapters_[static_cast<size_t>(i)];
    packed_a_.narrow(0, i * rank, rank).copy_(adapter.a);
    const Member& member = members_[static_cast<size_t>(adapter.member)];
    packed_b_.narrow(0, member.first_row, member.spec->out)
        .narrow(1, i * rank, rank)
        .copy_(adapter.b * adapter.scale);
  }
}

at::Tensor LinearGroup::packed_weight() const {
  if (nf4_.empty()) return packed_;
  const int64_t ranks = packed_b_.defined() ? packed_b_.size(1) : 0, stride = in_ + ranks;
  const at::Tensor wide = at::empty({out_, stride}, dtype_);
  for (size_t i = 0; i < members_.size(); ++i)
    with_type(dtype_, [&]<class T>(T) {
      at::parallel_for(0, members_[i].spec->out, 16, [&](int64_t begin, int64_t end) {
        dequantize_nf4(nf4_[i], begin, end,
                       data<T>(wide) + (members_[i].first_row + begin) * stride, stride);
      });
    });
  if (ranks) wide.narrow(1, in_, ranks).copy_(packed_b_);
  return wide;
}

at::Tensor LinearGroup::product(const at::Tensor& x) const {
  const at::Tensor weight = packed_weight();
  return packed_bias_.defined() ? at::addmm(packed_bias_, x, weight.t()) : at::mm(x, weight.t());
}

void LinearGroup::add_weight_gradient(const at::Tensor& x, const at::Tensor& dy) const {
  if (weight_gradient_.defined()) accumulate(weight_gradient_, at::mm(dy.t(), x));
  if (bias_gradient_.defined()) accumulate(bias_gradient_, at::sum(dy, {0}, false, at::kFloat));
}

at::Tensor LinearGroup::product_backward(const at::Tensor& x, const at::Tensor& dy) const {
  add_weight_gradient(x, dy);
  return at::mm(dy, packed_weight());
}

/// The adapters' inputs u = dropout(x) Aᵀ stand beside x, and scale · B beside W, so that forward
/// and backward each are one large product: y = [x, u] [W, scale B]ᵀ.
struct GroupFunction : torch::autograd::Function<GroupFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, LinearGroup* group,
                            double dropout, uint64_t seed) {
    ctx->saved_data["group"] = reinterpret_cast<int64_t>(group);
    if (group->adapters_.empty()) {
      ctx->save_for_backward({x});
      return group->product(x);
    }
    at::Tensor mask;
    if (dropout > 0) mask = dropout_mask(x, dropout, seed);
    const at::Tensor u = at::mm(mask.defined() ? x * mask : x, group->packed_a_.t());
    const at::Tensor wide = at::cat({x, u}, 1);
    ctx->save_for_backward({wide, mask});
    return group->product(wide);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    auto* group = reinterpret_cast<LinearGroup*>(ctx->saved_data["group"].toInt());
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor dy = grads[0].contiguous();
    if (group->adapters_.empty()) return {group->product_backward(saved[0], dy), {}, {}, {}};
    return {adapted(*group, saved[0], saved[1], dy), {}, {}, {}};
  }

  static at::Tensor adapted(const LinearGroup& group, const at::Tensor& wide,
                            const at::Tensor& mask, const at::Tensor& dy) {
    const at::Tensor x = wide.narrow(1, 0, group.in_);
    const at::Tensor u = wide.narrow(1, group.in_, wide.size(1) - group.in_);
    const at::Tensor dwide = at::mm(dy, group.packed_weight());
    const at::Tensor du = dwide.narrow(1, group.in_, u.size(1));
    group.add_weight_gradient(x, dy);
    const at::Tensor db = at::mm(dy.t(), u);                              // [out, Σ rank]
    const at::Tensor da = at::mm(du.t(), mask.defined() ? x * mask : x);  // [Σ rank, in]
    const int64_t rank = group.adapters_.front().a.size(0);
    for (size_t i = 0; i < group.adapters_.size(); ++i) {
      const LowRank& adapter = group.adapters_[i];
      const auto& member = group.members_[static_cast<size_t>(adapter.member)];
      const int64_t at = static_cast<int64_t>(i) * rank;
      adapter.a_gradient.add_(da.narrow(0, at, rank));
      adapter.b_gradient.add_(
          db.narrow(0, member.first_row, member.spec->out).narrow(1, at, rank).to(at::kFloat),
          adapter.scale);
    }
    const at::Tensor through_a = at::mm(du, group.packed_a_);
    return dwide.narrow(1, 0, group.in_) + (mask.defined() ? through_a * mask : through_a);
  }
};

at::Tensor LinearGroup::forward(const at::Tensor& x, double dropout, uint64_t seed) {
  return GroupFunction::apply(x, this, dropout, seed);
}

}  // namespace attar
