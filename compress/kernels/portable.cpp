// Any processor: plain loops over eight lanes.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "compress/base/float_types.h"
#include "compress/kernels/kernel_table.h"

namespace attar {
namespace {

struct Vec {
  static constexpr int kLanes = 8;
  static constexpr int kTileRows = 4, kTileVecs = 1, kInt8Rows = 4;
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

/// 16 bytes by the codes in nibbles: the low ones, then the high ones.
struct LevelTable {
  const uint8_t* values;
  explicit LevelTable(const uint8_t* table) : values(table) {}
  void look_up(const Words& codes, std::byte* low, std::byte* high) const {
    uint8_t bytes[sizeof codes.v];
    std::memcpy(bytes, codes.v, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; ++i) {
      low[i] = static_cast<std::byte>(values[bytes[i] & 15]);
      high[i] = static_cast<std::byte>(values[bytes[i] >> 4]);
    }
  }
};

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

/// The larger magnitude by bit pattern, so that a NaN wins.
Vec max_magnitude(const Vec& a, const Vec& b) {
  return Vec::make([&](int i) {
    return std::bit_cast<float>(
        std::max(std::bit_cast<uint32_t>(a.v[i]), std::bit_cast<uint32_t>(b.v[i]) & 0x7fffffffu));
  });
}
float largest_lane(const Vec& a) {
  Vec top = Vec::zero();
  for (const float lane : a.v) top = max_magnitude(top, Vec::broadcast(lane));
  return top.v[0];
}

class Ints {
 public:
  int32_t v[Vec::kLanes];

  template <class F>
  static Ints make(F f) {
    Ints out;
    for (int i = 0; i < Vec::kLanes; ++i) out.v[i] = f(i);
    return out;
  }
  static Ints broadcast(int32_t x) {
    return make([x](int) { return x; });
  }
  void store_bytes(int8_t* p) const {
    for (int i = 0; i < Vec::kLanes; ++i) p[i] = static_cast<int8_t>(v[i]);
  }
  int32_t total() const {
    Ints sum = broadcast(0);
    for (const int32_t lane : v) sum = sum + broadcast(lane);
    return sum.v[0];
  }
  /// With their sign.
  Ints low_seven_bits() const {
    return make([&](int i) { return wrapped(uint32_t(v[i]) << 25) >> 25; });
  }
  Ints shifted_right_by_seven() const {
    return make([&](int i) { return v[i] >> 7; });
  }
  // Wrapping, as the vector instructions do it (a NaN among the activations leads here).
  friend Ints operator+(const Ints& a, const Ints& b) {
    return make([&](int i) { return wrapped(uint32_t(a.v[i]) + uint32_t(b.v[i])); });
  }
  friend Ints operator-(const Ints& a, const Ints& b) {
    return make([&](int i) { return wrapped(uint32_t(a.v[i]) - uint32_t(b.v[i])); });
  }

 private:
  static int32_t wrapped(uint32_t x) { return static_cast<int32_t>(x); }
};
/// To nearest even; |a| < 2^22. A NaN gives some integer.
Ints rounded(const Vec& a) {
  constexpr float kMagic = 12582912.0f;  // 1.5 · 2^23
  return Ints::make([&](int i) {
    return static_cast<int32_t>(std::bit_cast<uint32_t>(a.v[i] + kMagic) -
                                std::bit_cast<uint32_t>(kMagic));
  });
}
Vec to_float(const Ints& a) {
  return Vec::make([&](int i) { return static_cast<float>(a.v[i]); });
}

/// A block's bytes of kLanes columns.
template <PackedFormat Format>
struct Split {
  uint8_t v[Vec::kLanes][4];
  void load(const void* p) { std::memcpy(v, p, sizeof v); }
};
/// Sums of codes · activations of kLanes columns.
template <PackedFormat Format>
struct Dot {
  static constexpr int32_t kBias = 0;
  static constexpr int64_t kBlocksBeforeFlush = 0;  // never
  Ints sum;
  void start(const Ints& from) { sum = from; }
  void add(const Split<Format>& w, const int8_t* x, int64_t second) {
    for (int i = 0; i < Vec::kLanes; ++i)
      for (int j = 0; j < 4; ++j)
        if constexpr (Format == PackedFormat::u4)
          sum.v[i] += (w.v[i][j] & 15) * x[j] + (w.v[i][j] >> 4) * x[second + j];
        else
          sum.v[i] += w.v[i][j] * x[j];
  }
  void flush() {}
  Ints result() const { return sum; }
};

}  // namespace
}  // namespace attar

#include "compress/kernels/kernels.inc"

namespace attar {
constexpr KernelTable kPortableKernels = table("portable");
}  // namespace attar
