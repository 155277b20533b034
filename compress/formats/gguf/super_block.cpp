#include "compress/formats/gguf/super_block.h"

#include <algorithm>
#include <cmath>

namespace attar::gguf {
namespace {

constexpr AffineSweep kSweep{-0.9f, 0.05f, 36};
constexpr int kRounds = 3;  // of refining all scales and the shared ones in turn

using Weights = std::array<float, kSuperBlock>;

float half(float value) {
  return from_float16(to_float16(value));
}

/// The importance of each weight's error; all the same when none, or only zeros, are given.
Weights error_weights(const float* importance) {
  Weights weights;
  weights.fill(1);
  if (importance != nullptr &&
      std::any_of(importance, importance + kSuperBlock, [](float w) { return w > 0; }))
    std::copy_n(importance, kSuperBlock, weights.begin());
  return weights;
}

/// ggml's weights without importance: large values count more, in proportion.
Weights reference_weights(const float* x, int64_t group) {
  Weights weights;
  for (int64_t first = 0; first < kSuperBlock; first += group) {
    float squares = 0;
    for (int64_t i = first; i < first + group; ++i) squares += x[i] * x[i];
    const float rms = std::sqrt(squares / static_cast<float>(group));
    for (int64_t i = first; i < first + group; ++i)
      weights[static_cast<size_t>(i)] = rms + std::abs(x[i]);
  }
  return weights;
}

/// One group: its weights, its part of the block, and what is tried on it.
class AffineGroup {
 public:
  AffineGroup(const float* x, const Weights& weights, const AffineFormat& format, int64_t index)
      : x_(x + index * format.group, static_cast<size_t>(format.group)),
        weights_(weights.data() + index * format.group, static_cast<size_t>(format.group)),
        levels_(format.levels) {}

  /// Weighted squared error of the best codes for `scale` and `offset`.
  double error(float scale, float offset) const {
    double total = 0;
    for (size_t i = 0; i < x_.size(); ++i) {
      const int code = nearest_code(x_[i] + offset, scale, 0, levels_);
      const float difference = scale * static_cast<float>(code) - offset - x_[i];
      total += static_cast<double>(weights_[i]) * static_cast<double>(difference * difference);
    }
    return total;
  }

  std::span<const float> x() const { return x_; }
  std::span<const float> weights() const { return weights_; }

 private:
  std::span<const float> x_, weights_;
  int levels_;
};

void round_codes(const float* x, const AffineFormat& format, AffineBlock& block) {
  for (int64_t i = 0; i < kSuperBlock; ++i) {
    const auto group = static_cast<size_t>(i / format.group);
    const float scale = block.d * static_cast<float>(block.scales[group]);
    if (scale == 0) continue;  // the codes say nothing; those of the fit stay
    const float offset = block.dmin * static_cast<float>(block.offsets[group]);
    block.codes[static_cast<size_t>(i)] =
        static_cast<uint8_t>(nearest_code(x[i] + offset, scale, 0, format.levels));
  }
}

/// Fits each group by itself, then rounds the scales and offsets to multiples of d and dmin.
AffineBlock first_fit(const float* x, const Weights& weights, const AffineFormat& format,
                      const AffineSweep& sweep) {
  AffineBlock block;
  const int64_t groups = kSuperBlock / format.group;
  std::array<AffineFit, kMostGroups> fits;
  float top_scale = 0, top_offset = 0;
  for (int64_t g = 0; g < groups; ++g) {
    const AffineGroup group(x, weights, format, g);
    auto& fit = fits[static_cast<size_t>(g)];
    fit = fit_affine(group.x(), group.weights(), format.levels, sweep,
                     block.codes.data() + g * format.group);
    top_scale = std::max(top_scale, fit.scale);
    top_offset = std::max(top_offset, fit.offset);
  }
  const auto levels = static_cast<float>(format.scale_levels);
  const float per_scale = top_scale > 0 ? levels / top_scale : 0;
  const float per_offset = top_offset > 0 ? levels / top_offset : 0;
  const auto rounded = [&](float value) {
    return static_cast<uint8_t>(std::min(levels, std::nearbyint(value)));
  };
  for (size_t g = 0; g < static_cast<size_t>(groups); ++g) {
    block.scales[g] = rounded(per_scale * std::max(fits[g].scale, 0.0f));
    block.offsets[g] = rounded(per_offset * fits[g].offset);
  }
  block.d = half(top_scale / levels);
  block.dmin = half(top_offset / levels);
  return block;
}

/// The neighbouring integer scales and offsets of every group, the best kept.
double settle_groups(const float* x, const Weights& weights, const AffineFormat& format,
                     AffineBlock& block) {
  double total = 0;
  for (int64_t g = 0; g < kSuperBlock / format.group; ++g) {
    const AffineGroup group(x, weights, format, g);
    uint8_t &scale = block.scales[static_cast<size_t>(g)],
            &offset = block.offsets[static_cast<size_t>(g)];
    const int scale_was = scale, offset_was = offset;
    double best = -1;
    for (int s = std::max(scale_was - 1, 0); s <= std::min(scale_was + 1, format.scale_levels); ++s)
      for (int o = std::max(offset_was - 1, 0); o <= std::min(offset_was + 1, format.scale_levels);
           ++o) {
        const double error =
            group.error(block.d * static_cast<float>(s), block.dmin * static_cast<float>(o));
        if (best >= 0 && error >= best) continue;
        best = error;
        scale = static_cast<uint8_t>(s);
        offset = static_cast<uint8_t>(o);
      }
    total += best;
  }
  return total;
}

/// d and dmin by least squares for the codes, scales and offsets as they are.
void refit_shared(const float* x, const Weights& weights, const AffineFormat& format,
                  AffineBlock& block) {
  double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;  // a = scale · code, b = −offset
  for (int64_t i = 0; i < kSuperBlock; ++i) {
    const auto group = static_cast<size_t>(i / format.group);
    const auto w = static_cast<double>(weights[static_cast<size_t>(i)]);
    const double a = block.scales[group] * block.codes[static_cast<size_t>(i)];
    const double b = -static_cast<double>(block.offsets[group]), value = static_cast<double>(x[i]);
    aa += w * a * a;
    ab += w * a * b;
    bb += w * b * b;
    ax += w * a * value;
    bx += w * b * value;
  }
  const double determinant = aa * bb - ab * ab;
  if (determinant > 1e-9 * aa * bb) {
    block.d = half(static_cast<float>((ax * bb - bx * ab) / determinant));
    block.dmin = half(static_cast<float>((bx * aa - ax * ab) / determinant));
  } else if (aa > 0) {
    block.d = half(static_cast<float>((ax - ab * static_cast<double>(block.dmin)) / aa));
  }
}

AffineBlock refined(const float* x, const Weights& weights, const AffineFormat& format,
                    AffineBlock block) {
  double best = settle_groups(x, weights, format, block);
  round_codes(x, format, block);
  for (int round = 0; round < kRounds; ++round) {
    AffineBlock trial = block;
    refit_shared(x, weights, format, trial);
    if (!(trial.d >= 0) || !(trial.dmin >= 0)) break;
    const double error = settle_groups(x, weights, format, trial);
    if (!(error < best)) break;
    best = error;
    round_codes(x, format, trial);
    block = trial;
  }
  return block;
}

}  // namespace

void decode(const AffineBlock& block, const AffineFormat& format, float* to) {
  for (int64_t i = 0; i < kSuperBlock; ++i) {
    const auto group = static_cast<size_t>(i / format.group);
    const float scale = block.d * static_cast<float>(block.scales[group]);
    const float offset = block.dmin * static_cast<float>(block.offsets[group]);
    to[i] = scale * static_cast<float>(block.codes[static_cast<size_t>(i)]) - offset;
  }
}

BlockParts parts_of(const AffineBlock& block) {
  BlockParts parts{block.d, block.dmin, {}, {}, block.codes};
  std::copy(block.scales.begin(), block.scales.end(), parts.scales.begin());
  std::copy(block.offsets.begin(), block.offsets.end(), parts.offsets.begin());
  return parts;
}

AffineBlock encode(const float* x, const float* importance, const AffineFormat& format) {
  if (importance == nullptr && format.reference != nullptr) {
    AffineBlock block = first_fit(x, reference_weights(x, format.group), format, *format.reference);
    round_codes(x, format, block);
    return block;
  }
  const Weights weights = error_weights(importance);
  return refined(x, weights, format, first_fit(x, weights, format, kSweep));
}

std::array<uint8_t, kSuperBlock> stored_codes(const SymmetricBlock& block,
                                              const SymmetricFormat& format) {
  std::array<uint8_t, kSuperBlock> codes;
  for (size_t i = 0; i < codes.size(); ++i)
    codes[i] = static_cast<uint8_t>(block.codes[i] - format.low);
  return codes;
}

void decode(const SymmetricBlock& block, const SymmetricFormat& format, float* to) {
  for (int64_t i = 0; i < kSuperBlock; ++i) {
    const float scale =
        block.d * static_cast<float>(block.scales[static_cast<size_t>(i / format.group)]);
    to[i] = scale * static_cast<float>(block.codes[static_cast<size_t>(i)]);
  }
}

BlockParts parts_of(const SymmetricBlock& block, const SymmetricFormat& format) {
  return {block.d, 0, block.scales, {}, stored_codes(block, format)};
}

namespace {

double symmetric_error(std::span<const float> x, std::span<const float> weights, float scale,
                       const SymmetricFormat& format) {
  double total = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const float difference =
        scale * static_cast<float>(nearest_code(x[i], scale, format.low, format.high)) - x[i];
    total += static_cast<double>(weights[i]) * static_cast<double>(difference * difference);
  }
  return total;
}

double settle_groups(const float* x, const Weights& weights, const SymmetricFormat& format,
                     SymmetricBlock& block) {
  double total = 0;
  const auto size = static_cast<size_t>(format.group);
  for (int64_t g = 0; g < kSuperBlock / format.group; ++g) {
    const std::span values(x + g * format.group, size);
    const std::span<const float> own(weights.data() + g * format.group, size);
    int8_t& scale = block.scales[static_cast<size_t>(g)];
    const int was = scale;
    double best = -1;
    for (int s = std::max(was - 1, format.scale_low); s <= std::min(was + 1, format.scale_high);
         ++s) {
      const double error = symmetric_error(values, own, block.d * static_cast<float>(s), format);
      if (best >= 0 && error >= best) continue;
      best = error;
      scale = static_cast<int8_t>(s);
    }
    total += best;
  }
  for (int64_t i = 0; i < kSuperBlock; ++i) {
    const float scale =
        block.d * static_cast<float>(block.scales[static_cast<size_t>(i / format.group)]);
    block.codes[static_cast<size_t>(i)] =
        static_cast<int8_t>(nearest_code(x[i], scale, format.low, format.high));
  }
  return total;
}

}  // namespace

SymmetricBlock encode(const float* x, const float* importance, const SymmetricFormat& format) {
  const Weights weights = error_weights(importance);
  const auto size = static_cast<size_t>(format.group);
  const auto groups = static_cast<size_t>(kSuperBlock / format.group);
  std::array<float, kMostGroups> scales{};
  float extreme = 0;
  for (size_t g = 0; g < groups; ++g) {
    scales[g] = fit_symmetric({x + g * size, size}, {weights.data() + g * size, size}, format.low,
                              format.high);
    if (std::abs(scales[g]) > std::abs(extreme)) extreme = scales[g];
  }
  SymmetricBlock block;
  if (extreme == 0) return block;
  // The range of scales reaches one further below zero than above.
  block.d = half(extreme / static_cast<float>(format.scale_low));
  for (size_t g = 0; g < groups; ++g)
    block.scales[g] =
        static_cast<int8_t>(nearest_code(scales[g], block.d, format.scale_low, format.scale_high));
  double best = settle_groups(x, weights, format, block);
  for (int round = 0; round < kRounds; ++round) {
    double aa = 0, ax = 0;
    for (size_t i = 0; i < kSuperBlock; ++i) {
      const double a = block.scales[i / size] * block.codes[i];
      aa += static_cast<double>(weights[i]) * a * a;
      ax += static_cast<double>(weights[i]) * a * static_cast<double>(x[i]);
    }
    if (aa <= 0) break;
    SymmetricBlock trial = block;
    trial.d = half(static_cast<float>(ax / aa));
    const double error = settle_groups(x, weights, format, trial);
    if (!(error < best)) break;
    best = error;
    block = trial;
  }
  return block;
}

void load_scales(const std::byte* from, AffineBlock& block) {
  for (size_t j = 0; j < 4; ++j) {
    const int a = byte_at(from, static_cast<int64_t>(j)),
              b = byte_at(from, static_cast<int64_t>(j) + 4),
              c = byte_at(from, static_cast<int64_t>(j) + 8);
    block.scales[j] = static_cast<uint8_t>(a & 63);
    block.offsets[j] = static_cast<uint8_t>(b & 63);
    block.scales[j + 4] = static_cast<uint8_t>((c & 15) | a >> 6 << 4);
    block.offsets[j + 4] = static_cast<uint8_t>(c >> 4 | b >> 6 << 4);
  }
}

void store_scales(const AffineBlock& block, std::byte* to) {
  for (size_t j = 0; j < 4; ++j) {
    const auto at = static_cast<int64_t>(j);
    put_byte(to, at, block.scales[j] | block.scales[j + 4] >> 4 << 6);
    put_byte(to, at + 4, block.offsets[j] | block.offsets[j + 4] >> 4 << 6);
    put_byte(to, at + 8, (block.scales[j + 4] & 15) | (block.offsets[j + 4] & 15) << 4);
  }
}

}  // namespace attar::gguf
