// The causal depthwise convolution of Gated DeltaNet, with the SiLU behind it.
#include <algorithm>
#include <vector>

#include "compress/model/ops.h"
#include "compress/model/typed.h"
#include "compress/model/vector_math.h"

namespace attar::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kChannels = 64;  // that one task handles, over all positions

/// y(t) = Σ_i weight[i] x(t − width + 1 + i) over channels [0, count) of one sequence; x and y rows
/// are `stride` apart, `weight` [width, kChannels].
ATTAR_VECTOR_CLONES void convolve(const float* x, const float* weight, int64_t positions,
                                  int64_t width, int64_t count, int64_t stride, float* y) {
  for (int64_t t = 0; t < positions; ++t) {
    float* __restrict to = y + t * stride;
    for (int64_t c = 0; c < count; ++c) to[c] = 0;
    for (int64_t i = std::max<int64_t>(0, width - 1 - t); i < width; ++i) {
      const float* from = x + (t - width + 1 + i) * stride;
      for (int64_t c = 0; c < count; ++c) to[c] += weight[i * kChannels + c] * from[c];
    }
  }
}

ATTAR_VECTOR_CLONES void silu(float* x, int64_t count) {
  for (int64_t c = 0; c < count; ++c) x[c] = x[c] / (1.0f + vector_exp(-x[c]));
}

/// dy = dout · silu'(y); dy may be y.
ATTAR_VECTOR_CLONES void silu_backward(const float* y, const float* dout, int64_t count,
                                       float* dy) {
#pragma GCC ivdep
  for (int64_t c = 0; c < count; ++c) {
    const float s = 1.0f / (1.0f + vector_exp(-y[c]));
    dy[c] = dout[c] * s * (1.0f + y[c] * (1.0f - s));
  }
}

/// dx(t − width + 1 + i) += weight[i] dy(t), dweight[i] += dy(t) x(t − width + 1 + i)
ATTAR_VECTOR_CLONES void convolve_backward(const float* x, const float* weight, const float* dy,
                                           int64_t positions, int64_t width, int64_t count,
                                           int64_t stride, float* dx, float* dweight) {
  for (int64_t t = 0; t < positions; ++t)
    for (int64_t i = std::max<int64_t>(0, width - 1 - t); i < width; ++i) {
      const int64_t at = (t - width + 1 + i) * stride;
      const float* d = dy + t * stride;
      for (int64_t c = 0; c < count; ++c) {
        dx[at + c] += weight[i * kChannels + c] * d[c];
        dweight[i * kChannels + c] += d[c] * x[at + c];
      }
    }
}

struct ConvolutionFunction : torch::autograd::Function<ConvolutionFunction> {
  /// Calls body(first channel, count, its weights [width, kChannels]).
  template <class Body>
  static void for_channels(const at::Tensor& weight, Body body) {
    const int64_t channels = weight.size(0), width = weight.size(1);
    const auto* values = data<float>(weight);
    at::parallel_for(0, (channels + kChannels - 1) / kChannels, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> turned(static_cast<size_t>(width * kChannels));
      for (int64_t part = begin; part < end; ++part) {
        const int64_t first = part * kChannels, count = std::min(kChannels, channels - first);
        for (int64_t c = 0; c < count; ++c)
          for (int64_t i = 0; i < width; ++i)
            turned[static_cast<size_t>(i * kChannels + c)] = values[(first + c) * width + i];
        body(first, count, turned);
      }
    });
  }

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const Parameter* conv,
                            int64_t sequences) {
    ctx->save_for_backward({x});
    ctx->saved_data["conv"] = reinterpret_cast<int64_t>(conv);
    ctx->saved_data["sequences"] = sequences;
    const at::Tensor out = at::empty_like(x);
    const int64_t channels = x.size(1), positions = x.size(0) / sequences;
    for_channels(conv->value, [&](int64_t first, int64_t count, const std::vector<float>& weight) {
      for (int64_t s = 0; s < sequences; ++s) {
        const int64_t at = s * positions * channels + first;
        convolve(data<float>(x) + at, weight.data(), positions, conv->value.size(1), count,
                 channels, data<float>(out) + at);
        for (int64_t t = 0; t < positions; ++t) silu(data<float>(out) + at + t * channels, count);
      }
    });
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor x = ctx->get_saved_variables()[0], dout = grads[0].contiguous();
    const auto* conv = reinterpret_cast<const Parameter*>(ctx->saved_data["conv"].toInt());
    const int64_t sequences = ctx->saved_data["sequences"].toInt();
    const int64_t channels = x.size(1), positions = x.size(0) / sequences;
    const int64_t width = conv->value.size(1);
    const at::Tensor y = at::empty_like(x), dx = at::zeros_like(x);
    for_channels(conv->value, [&](int64_t first, int64_t count, const std::vector<float>& weight) {
      std::vector<float> dweight(weight.size(), 0.0f);
      for (int64_t s = 0; s < sequences; ++s) {
        const int64_t at = s * positions * channels + first;
        float* dy = data<float>(y) + at;
        convolve(data<float>(x) + at, weight.data(), positions, width, count, channels, dy);
        for (int64_t t = 0; t < positions; ++t)
          silu_backward(dy + t * channels, data<float>(dout) + at + t * channels, count,
                        dy + t * channels);
        convolve_backward(data<float>(x) + at, weight.data(), dy, positions, width, count, channels,
                          data<float>(dx) + at, dweight.data());
      }
      if (!conv->gradient.defined()) return;
      float* gradient = data<float>(conv->gradient) + first * width;
      for (int64_t c = 0; c < count; ++c)
        for (int64_t i = 0; i < width; ++i)
          gradient[c * width + i] += dweight[static_cast<size_t>(i * kChannels + c)];
    });
    return {dx, {}, {}};
  }
};

}  // namespace

at::Tensor short_convolution(const at::Tensor& x, const Parameter& conv, int64_t sequences) {
  return ConvolutionFunction::apply(x, &conv, sequences);
}

}  // namespace attar::ops
