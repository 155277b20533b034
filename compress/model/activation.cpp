// The MLP's elementwise part.
#include "compress/model/ops.h"
#include "compress/model/typed.h"

namespace attar::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct SiluGateFunction : torch::autograd::Function<SiluGateFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_up) {
    ctx->save_for_backward({gate_up});
    const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
    const at::Tensor out = at::empty({rows, width}, gate_up.options());
    with_type(gate_up.scalar_type(), [&]<class T>(T) {
      at::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
        kernel::silu_gate(data<T>(gate_up) + 2 * begin * width, data<T>(out) + begin * width,
                          end - begin, width);
      });
    });
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor gate_up = ctx->get_saved_variables()[0], dout = grads[0].contiguous();
    const int64_t rows = gate_up.size(0), width = gate_up.size(1) / 2;
    const at::Tensor dgate_up = at::empty_like(gate_up);
    with_type(gate_up.scalar_type(), [&]<class T>(T) {
      at::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
        kernel::silu_gate_backward(data<T>(gate_up) + 2 * begin * width,
                                   data<T>(dout) + begin * width,
                                   data<T>(dgate_up) + 2 * begin * width, end - begin, width);
      });
    });
    return {dgate_up};
  }
};

}  // namespace

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::silu:
      return at::silu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::gelu_erf:
      return at::gelu(x);
    case Activation::relu:
      return at::relu(x);
    case Activation::relu_squared:
      return at::relu(x).square();
  }
  return {};
}

at::Tensor gated(const at::Tensor& gate_up, Activation activation) {
  if (activation == Activation::silu) return SiluGateFunction::apply(gate_up);
  const int64_t width = gate_up.size(1) / 2;
  return activate(gate_up.narrow(1, 0, width), activation) * gate_up.narrow(1, width, width);
}

}  // namespace attar::ops
