// Q6_K: 128 bytes of low nibbles, 64 bytes of high two bits, 16 signed scales, float16 d. Within
// each 128 weights, quarter k has its nibbles in the low (k < 2) or high half of 64 bytes, and its
// high bits at shift 2 k of 32 bytes; code + 32 is stored.
#include "compress/formats/gguf/super_block.h"

namespace attar::gguf {
namespace {

constexpr int64_t kHigh = 128, kScales = 192, kD = 208, kBytes = 210;
constexpr SymmetricFormat kFormat{16, -32, 31, -128, 127};

/// Where weight i has its bits.
struct Place {
  int64_t low, high;  // bytes
  int low_shift, high_shift;
};
Place place_of(int64_t i) {
  const int64_t half = i / 128, quarter = i % 128 / 32, lane = i % 32;
  return {half * 64 + quarter % 2 * 32 + lane, kHigh + half * 32 + lane, quarter < 2 ? 0 : 4,
          static_cast<int>(2 * quarter)};
}

SymmetricBlock load_block(const std::byte* from) {
  SymmetricBlock block;
  block.d = load_half(from + kD);
  for (size_t g = 0; g < 16; ++g)
    block.scales[g] = static_cast<int8_t>(byte_at(from, kScales + static_cast<int64_t>(g)));
  for (int64_t i = 0; i < kSuperBlock; ++i) {
    const Place place = place_of(i);
    const int low = byte_at(from, place.low) >> place.low_shift & 15;
    const int high = byte_at(from, place.high) >> place.high_shift & 3;
    block.codes[static_cast<size_t>(i)] = static_cast<int8_t>((low | high << 4) - 32);
  }
  return block;
}

void decode_block(const std::byte* from, float* to) {
  decode(load_block(from), kFormat, to);
}

void take_apart(const std::byte* from, BlockParts& to) {
  to = parts_of(load_block(from), kFormat);
}

void put_codes(const uint8_t* codes, std::byte* block) {
  std::memset(block, 0, kScales);
  for (int64_t j = 0; j < kSuperBlock; ++j) {
    const Place place = place_of(j);
    block[place.low] |= static_cast<std::byte>((codes[j] & 15) << place.low_shift);
    block[place.high] |= static_cast<std::byte>(codes[j] >> 4 << place.high_shift);
  }
}

void encode_row(const float* x, int64_t cols, const float* importance, std::byte* to) {
  for (int64_t i = 0; i < cols; i += kSuperBlock, to += kBytes) {
    const SymmetricBlock block = encode(x + i, importance ? importance + i : nullptr, kFormat);
    put_codes(stored_codes(block, kFormat).data(), to);
    for (size_t g = 0; g < 16; ++g)
      put_byte(to, kScales + static_cast<int64_t>(g), block.scales[g]);
    store_half(block.d, to + kD);
  }
}

}  // namespace

TensorType q6_k_type() {
  return {14,         "Q6_K", kSuperBlock,   kBytes,    decode_block,
          encode_row, 6,      kFormat.group, put_codes, take_apart};
}

}  // namespace attar::gguf
