// Embedding and normalization: what reads and writes the residual stream.
#include <algorithm>

#include "compress/model/ops.h"
#include "compress/model/typed.h"

namespace attar::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using torch_compat::optional;
using torch_compat::OptionalTensor;
using torch_compat::tensor;

struct EmbedFunction : torch::autograd::Function<EmbedFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& ids, const at::Tensor& value,
                            const OptionalTensor& gradient, double scale, const at::Tensor&) {
    ctx->save_for_backward({ids, tensor(gradient)});
    ctx->saved_data["scale"] = scale;
    const at::Tensor rows = value.index_select(0, ids);
    return scale == 1 ? rows : rows * scale;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    if (saved[1].defined()) add_rows(saved[0], grads[0].contiguous(), ctx, saved[1]);
    return {{}, {}, {}, {}, {}};
  }

  /// Threads share the columns, so that each sum runs over the rows in order.
  static void add_rows(const at::Tensor& ids, const at::Tensor& rows, AutogradContext* ctx,
                       const at::Tensor& gradient) {
    const auto scale = static_cast<float>(ctx->saved_data["scale"].toDouble());
    const int64_t width = rows.size(1), count = rows.size(0);
    const int64_t* id = ids.data_ptr<int64_t>();
    const float* from = rows.data_ptr<float>();
    float* to = gradient.data_ptr<float>();
    at::parallel_for(0, width, 32, [&](int64_t begin, int64_t end) {
      for (int64_t row = 0; row < count; ++row)
        for (int64_t i = begin; i < end; ++i)
          to[id[row] * width + i] += scale * from[row * width + i];
    });
  }
};

struct AddNormFunction : torch::autograd::Function<AddNormFunction> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& h,
                               const OptionalTensor& optional_delta, const Norm* norm,
                               at::ScalarType dtype) {
    const at::Tensor delta = tensor(optional_delta);
    const int64_t rows = h.size(0), width = h.size(1);
    const bool centered = norm->spec.kind == NormKind::layer;
    const at::Tensor h_out = delta.defined() ? at::empty_like(h) : h;
    const at::Tensor y = at::empty({rows, width}, dtype), rstd = at::empty({rows}, at::kFloat);
    const at::Tensor mean = centered ? at::empty({rows}, at::kFloat) : at::Tensor();
    with_type(dtype, [&]<class T>(T) {
      at::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
        const int64_t at = begin * width;
        kernel::add_norm(kernel::AddNorm<T>{
            end - begin, width, data<float>(h) + at,
            delta.defined() ? data<T>(delta) + at : nullptr, data<float>(norm->weight.value),
            data<float>(norm->bias.value), norm->spec.weight_offset, norm->spec.eps, centered,
            data<float>(h_out) + at, data<T>(y) + at,
            centered ? data<float>(mean) + begin : nullptr, data<float>(rstd) + begin});
      });
    });
    ctx->save_for_backward({h_out, mean, rstd});
    ctx->set_materialize_grads(false);
    ctx->saved_data["norm"] = reinterpret_cast<int64_t>(norm);
    ctx->saved_data["has_delta"] = delta.defined();
    ctx->saved_data["dtype"] = dtype;
    if (!delta.defined()) return {h.view_as(h), y};
    return {h_out, y};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &h_out = saved[0], &mean = saved[1], &rstd = saved[2];
    const auto* norm = reinterpret_cast<const Norm*>(ctx->saved_data["norm"].toInt());
    const int64_t rows = h_out.size(0), width = h_out.size(1);
    const auto dtype = ctx->saved_data["dtype"].toScalarType();
    const at::Tensor from_above = grads[0].defined() ? grads[0].contiguous() : at::Tensor();
    const at::Tensor dy =
        grads[1].defined() ? grads[1].contiguous() : at::zeros({rows, width}, dtype);
    const at::Tensor dh = at::empty_like(h_out);
    const at::Tensor ddelta =
        ctx->saved_data["has_delta"].toBool() ? at::empty({rows, width}, dtype) : at::Tensor();
    const int64_t tasks = (rows + kRowsPerTask - 1) / kRowsPerTask;
    const bool biased = norm->bias.gradient.defined();
    const at::Tensor dweight = at::zeros({tasks, width}, at::kFloat);
    const at::Tensor dbias = biased ? at::zeros_like(dweight) : at::Tensor();
    with_type(dtype, [&]<class T>(T) {
      at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
        for (int64_t task = first; task < last; ++task) {
          const int64_t begin = task * kRowsPerTask, at = begin * width;
          kernel::add_norm_backward(kernel::AddNormBackward<T>{
              std::min(rows - begin, kRowsPerTask), width, data<float>(h_out) + at,
              mean.defined() ? data<float>(mean) + begin : nullptr, data<float>(rstd) + begin,
              data<float>(norm->weight.value), norm->spec.weight_offset, data<T>(dy) + at,
              from_above.defined() ? data<float>(from_above) + at : nullptr, data<float>(dh) + at,
              ddelta.defined() ? data<T>(ddelta) + at : nullptr,
              data<float>(dweight) + task * width,
              biased ? data<float>(dbias) + task * width : nullptr});
        }
      });
    });
    add_in_order(norm->weight.gradient, dweight);
    add_in_order(norm->bias.gradient, dbias);
    return {dh, ddelta, {}, {}};
  }

  /// gradient [width] += Σ over the tasks of partial [tasks, width]
  static void add_in_order(const at::Tensor& gradient, const at::Tensor& partial) {
    if (!gradient.defined()) return;
    const int64_t width = partial.size(1);
    for (int64_t task = 0; task < partial.size(0); ++task)
      kernel::accumulate(data<float>(gradient), data<float>(partial) + task * width, width);
  }
};

}  // namespace

at::Tensor embed(const at::Tensor& ids, const Parameter& table, double scale,
                 const at::Tensor& anchor) {
  return EmbedFunction::apply(ids, table.value, optional(table.gradient), scale, anchor);
}

std::pair<at::Tensor, at::Tensor> add_norm(const at::Tensor& h, const at::Tensor& delta,
                                           const Norm& norm, at::ScalarType dtype) {
  auto both = AddNormFunction::apply(h, optional(delta), &norm, dtype);
  return {both[0], both[1]};
}

at::Tensor norm_rows(const at::Tensor& x, const Norm& norm, int64_t width) {
  if (!norm) return x;
  const at::Tensor rows = x.reshape({-1, width}).to(at::kFloat).contiguous();
  return add_norm(rows, {}, norm, x.scalar_type()).second.view(x.sizes());
}

}  // namespace attar::ops
