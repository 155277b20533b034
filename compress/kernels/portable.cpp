// Any processor: plain loops over eight lanes.
#include <cmath>
#include <cstring>

#include "compress/base/float_types.h"
#include "compress/kernels/kernel_table.h"

namespace attar {
namespace {

struct Vec {
  static constexpr int kLanes = 8;
  static constexpr int kTileRows = 4, kTileVecs = 1;
  static constexpr int kGemvPanels = 1;
  float v[kLanes];

  template <class F>
  static Vec make(F f) {
    Vec out;
    for (int i = 0; i < kLanes; ++i) out.v[i] = f(i);
    return out;
  }
  static Vec zero() { return broadcast(0); }
  static Vec broadcast(float x) {
    return make([x](int) { return x; });
  }
  static Vec load(const void* p) {
    Vec out;
    std::memcpy(out.v, p, sizeof out.v);
    return out;
  }
  static Vec load_f16(const void* p) {
    uint16_t bits[kLanes];
    std::memcpy(bits, p, sizeof bits);
    return make([&](int i) { return from_float16(bits[i]); });
  }
  static Vec load_bf16(const void* p) {
    uint16_t bits[kLanes];
    std::memcpy(bits, p, sizeof bits);
    return make([&](int i) { return from_bfloat16(bits[i]); });
  }
  static Vec load_u8(const uint8_t* p) {
    return make([p](int i) { return static_cast<float>(p[i]); });
  }
  void store(float* p) const { std::memcpy(p, v, sizeof v); }
};

Vec operator+(const Vec& a, const Vec& b) {
  return Vec::make([&](int i) { return a.v[i] + b.v[i]; });
}
Vec operator-(const Vec& a, const Vec& b) {
  return Vec::make([&](int i) { return a.v[i] - b.v[i]; });
}
Vec operator*(const Vec& a, const Vec& b) {
  return Vec::make([&](int i) { return a.v[i] * b.v[i]; });
}
Vec operator/(const Vec& a, const Vec& b) {
  return Vec::make([&](int i) { return a.v[i] / b.v[i]; });
}
Vec fma(const Vec& a, const Vec& b, const Vec& c) {
  return Vec::make([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
}
// As the vector instructions do it: the second operand when the comparison fails.
Vec max(const Vec& a, const Vec& b) {
  return Vec::make([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
Vec min(const Vec& a, const Vec& b) {
  return Vec::make([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
/// a · 2^n, n the low mantissa bits of `shifted`.
Vec times_power_of_two(const Vec& a, const Vec& shifted) {
  return Vec::make([&](int i) {
    return std::bit_cast<float>(std::bit_cast<uint32_t>(a.v[i]) +
                                (std::bit_cast<uint32_t>(shifted.v[i]) << 23));
  });
}
Vec zero_where_below(const Vec& a, const Vec& x, const Vec& limit) {
  return Vec::make([&](int i) { return x.v[i] < limit.v[i] ? 0.0f : a.v[i]; });
}

struct Words {
  uint32_t v[Vec::kLanes];
};
Words load_words(const void* p) {
  Words out;
  std::memcpy(out.v, p, sizeof out.v);
  return out;
}

/// Codes as floats, less a zero that all share.
struct Codebook {
  float zero;
  explicit Codebook(float shared_zero) : zero(shared_zero) {}
  template <int Shift>
  Vec nibble(const Words& words) const {
    return Vec::make([&](int i) { return static_cast<float>((words.v[i] >> Shift) & 15u) - zero; });
  }
  template <int Shift>
  Vec byte(const Words& words) const {
    return Vec::make(
        [&](int i) { return static_cast<float>((words.v[i] >> Shift) & 255u) - zero; });
  }
};

}  // namespace
}  // namespace attar

#include "compress/kernels/kernels.inc"

namespace attar {
constexpr KernelTable kPortableKernels = table("portable");
}  // namespace attar
