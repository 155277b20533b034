#include "compress/runtime/mlp.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "compress/kernels/kernel_table.h"

namespace attar {

Mlp::Mlp(const MlpSpec& spec, const LinearLoader& load, Norm down_norm)
    : spec_(spec),
      gate_(spec.gated() ? load(spec.gate) : Linear{}),
      up_(load(spec.up)),
      down_(load(spec.down)),
      down_norm_(std::move(down_norm)) {}

uint64_t Mlp::bytes() const {
  return up_.bytes() + down_.bytes() + down_norm_.bytes() + (spec_.gated() ? gate_.bytes() : 0);
}

void Mlp::forward(const float* x, int64_t rows, float* y, Activations activations,
                  const LinearObserver& observer) const {
  const Buffer mixed = buffer(rows, spec_.width);
  mix(x, rows, mixed.get(), activations, observer);
  project(mixed.get(), rows, y, activations, observer);
}

void Mlp::mix(const float* x, int64_t rows, float* out, Activations activations,
              const LinearObserver& observer) const {
  if (spec_.gated()) {
    const Buffer up = buffer(rows, spec_.width);
    multiply(x, rows, {{gate_, out}, {up_, up.get()}}, activations, observer);
    activate(spec_.activation, out, up.get(), rows * spec_.width);
  } else {
    multiply(x, rows, {{up_, out}}, activations, observer);
    activate(spec_.activation, out, nullptr, rows * spec_.width);
  }
  if (down_norm_.present()) down_norm_.apply(out, rows, out);
}

void Mlp::project(const float* mixed, int64_t rows, float* y, Activations activations,
                  const LinearObserver& observer) const {
  multiply(mixed, rows, {{down_, y}}, activations, observer);
}

/// gate = act(gate) · up; up == nullptr: gate = act(gate).
void activate(Activation activation, float* gate, const float* up, int64_t count) {
  for_values(count, [&](int64_t begin, int64_t end) {
    std::vector<float> ones;
    if (up == nullptr) ones.assign(static_cast<size_t>(end - begin), 1.0f);
    const float* factor = up == nullptr ? ones.data() : up + begin;
    float* at = gate + begin;
    const int64_t n = end - begin;
    switch (activation) {
      case Activation::silu:
        return kernels().silu_product(at, factor, at, n);
      case Activation::gelu_tanh:
        return kernels().gelu_tanh_product(at, factor, at, n);
      case Activation::gelu_erf:
        for (int64_t i = 0; i < n; ++i) {
          const double x = static_cast<double>(at[i]);
          at[i] = static_cast<float>(0.5 * x * (1 + std::erf(x / std::numbers::sqrt2))) * factor[i];
        }
        return;
      case Activation::relu:
        for (int64_t i = 0; i < n; ++i) at[i] = (at[i] > 0 ? at[i] : 0) * factor[i];
        return;
      case Activation::relu_squared:
        for (int64_t i = 0; i < n; ++i) at[i] = (at[i] > 0 ? at[i] * at[i] : 0) * factor[i];
        return;
    }
  });
}

}  // namespace attar
