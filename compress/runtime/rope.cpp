#include "compress/runtime/rope.h"

#include <cmath>

namespace attar {

RopeTable::RopeTable(const RopeSpec& spec, int64_t positions)
    : spec_(spec), usual_(make(0, positions)) {
  if (spec.scaling == RopeScaling::longrope) beyond_ = make(positions + 1, positions);
}

RopeTable::Regime RopeTable::make(int64_t length, int64_t positions) const {
  const std::vector<double> values = spec_.frequencies(length);
  return {{values.begin(), values.end()},
          std::make_unique<Stretch[]>(static_cast<size_t>(positions / kStretch + 1))};
}

const RopeTable::Stretch& RopeTable::stretch(const Regime& regime, int64_t index, float factor) {
  Stretch& out = regime.stretches[static_cast<size_t>(index)];
  std::call_once(out.once, [&] {
    const size_t half = regime.frequencies.size();
    out.cos.resize(kStretch * half);
    out.sin.resize(kStretch * half);
    for (size_t t = 0; t < static_cast<size_t>(kStretch); ++t)
      for (size_t i = 0; i < half; ++i) {
        // The angle is rounded to float32, as in the models' training code.
        const float position = static_cast<float>(index * kStretch + static_cast<int64_t>(t));
        const double angle = static_cast<double>(position * regime.frequencies[i]);
        out.cos[t * half + i] = static_cast<float>(std::cos(angle)) * factor;
        out.sin[t * half + i] = static_cast<float>(std::sin(angle)) * factor;
      }
  });
  return out;
}

void RopeTable::rotate(float* x, int64_t count, int64_t heads, int64_t head_dim,
                       int64_t start) const {
  const int64_t length = start + count;
  const bool beyond = length > spec_.original_max_positions;
  if (beyond && spec_.scaling == RopeScaling::dynamic)  // every length has its own frequencies
    return rotate(make(length, length), x, count, heads, head_dim, start);
  rotate(beyond && beyond_.stretches ? beyond_ : usual_, x, count, heads, head_dim, start);
}

void RopeTable::rotate(const Regime& regime, float* x, int64_t count, int64_t heads,
                       int64_t head_dim, int64_t start) const {
  const int64_t half = spec_.dims / 2;
  for (int64_t t = 0; t < count; ++t) {
    const Stretch& table = stretch(regime, (start + t) / kStretch, spec_.attention_factor);
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
