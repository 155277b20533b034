#include "compress/runtime/rope.h"

#include <cmath>

namespace attar {
namespace {

std::vector<float> rounded(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

RopeTable::RopeTable(const RopeSpec& spec, int64_t positions)
    : dims_(spec.dims),
      frequencies_(rounded(spec.frequencies())),
      stretches_(std::make_unique<Stretch[]>(static_cast<size_t>(positions / kStretch + 1))) {}

const RopeTable::Stretch& RopeTable::stretch(int64_t index) const {
  Stretch& out = stretches_[static_cast<size_t>(index)];
  std::call_once(out.once, [&] {
    const size_t half = frequencies_.size();
    out.cos.resize(kStretch * half);
    out.sin.resize(kStretch * half);
    for (size_t t = 0; t < static_cast<size_t>(kStretch); ++t)
      for (size_t i = 0; i < half; ++i) {
        // The angle is rounded to float32, as in the models' training code.
        const float position = static_cast<float>(index * kStretch + static_cast<int64_t>(t));
        const double angle = static_cast<double>(position * frequencies_[i]);
        out.cos[t * half + i] = static_cast<float>(std::cos(angle));
        out.sin[t * half + i] = static_cast<float>(std::sin(angle));
      }
  });
  return out;
}

void RopeTable::rotate(float* x, int64_t count, int64_t heads, int64_t head_dim,
                       int64_t start) const {
  const int64_t half = dims_ / 2;
  for (int64_t t = 0; t < count; ++t) {
    const Stretch& table = stretch((start + t) / kStretch);
    const float* cos = table.cos.data() + (start + t) % kStretch * half;
    const float* sin = table.sin.data() + (start + t) % kStretch * half;
    for (int64_t h = 0; h < heads; ++h) {
      float* first = x + (t * heads + h) * head_dim;
      float* second = first + half;
      for (int64_t i = 0; i < half; ++i) {
        const float a = first[i], b = second[i];
        first[i] = a * cos[i] - b * sin[i];
        second[i] = b * cos[i] + a * sin[i];
      }
    }
  }
}

}  // namespace attar
