#include "compress/training/adamw.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "compress/model/vector_math.h"

namespace attar {
namespace {

constexpr int64_t kChunk =
    1 << 16;  // elements a task handles; fixed, so that sums do not depend on threads

struct Update {
  float clip, beta1, beta2, decay, step_size, second_scale, epsilon;
};

ATTAR_VECTOR_CLONES double sum_of_squares(const float* x, int64_t count) {
  return lane_sum(count, [x](int64_t i) ATTAR_INLINE_LAMBDA { return x[i] * x[i]; });
}

/// value ← value · (1 − lr · wd) − lr · m̂ / (√v̂ + ε); gradient ← 0.
ATTAR_VECTOR_CLONES void update(const Update& u, float* __restrict value,
                                float* __restrict gradient, float* __restrict m,
                                float* __restrict v, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * u.clip;
    m[i] = u.beta1 * m[i] + (1.0f - u.beta1) * g;
    v[i] = u.beta2 * v[i] + (1.0f - u.beta2) * g * g;
    const float denominator = __builtin_sqrtf(v[i]) * u.second_scale + u.epsilon;
    value[i] = value[i] * u.decay - u.step_size * m[i] / denominator;
    gradient[i] = 0.0f;
  }
}

}  // namespace

AdamW::AdamW(ParameterStore& store, const AdamWOptions& options)
    : store_(store),
      options_(options),
      m_(at::zeros({store.total()}, at::kFloat)),
      v_(at::zeros({store.total()}, at::kFloat)) {}

double AdamW::step(double learning_rate) {
  const int64_t total = store_.total(), chunks = (total + kChunk - 1) / kChunk;
  float* value = store_.flat().data_ptr<float>();
  float* gradient = store_.flat_gradients().data_ptr<float>();
  const auto size = [&](int64_t chunk) { return std::min(kChunk, total - chunk * kChunk); };

  std::vector<double> squares(static_cast<size_t>(chunks));
  at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      squares[static_cast<size_t>(c)] = sum_of_squares(gradient + c * kChunk, size(c));
  });
  double sum = 0;
  for (const double s : squares) sum += s;
  const double norm = std::sqrt(sum);
  if (!std::isfinite(norm)) return norm;

  ++steps_;
  const auto t = static_cast<double>(steps_);
  const double clip = options_.clip > 0 ? std::min(1.0, options_.clip / (norm + 1e-6)) : 1.0;
  const Update u{static_cast<float>(clip),
                 static_cast<float>(options_.beta1),
                 static_cast<float>(options_.beta2),
                 static_cast<float>(1.0 - learning_rate * options_.weight_decay),
                 static_cast<float>(learning_rate / (1.0 - std::pow(options_.beta1, t))),
                 static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(options_.beta2, t))),
                 static_cast<float>(options_.epsilon)};
  float *m = m_.data_ptr<float>(), *v = v_.data_ptr<float>();
  at::parallel_for(0, chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c) {
      const int64_t at = c * kChunk;
      update(u, value + at, gradient + at, m + at, v + at, size(c));
    }
  });
  return norm;
}

}  // namespace attar
