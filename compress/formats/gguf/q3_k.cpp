// Q3_K: 32 bytes of third bits, 64 bytes of low two bits (as Q2_K's codes), 12 bytes of 16 6-bit
// scales, float16 d. Bit b of third-bit byte i belongs to weight 32 b + i; code + 4 and scale + 32
// are stored.
#include "compress/formats/gguf/super_block.h"

namespace attar::gguf {
namespace {

constexpr int64_t kLow = 32, kScales = 96, kD = 108, kBytes = 110;
constexpr SymmetricFormat kFormat{16, -4, 3, -32, 31};

SymmetricBlock load_block(const std::byte* from) {
  SymmetricBlock block;
  block.d = load_half(from + kD);
  for (int64_t g = 0; g < 16; ++g) {
    const int low = byte_at(from, kScales + g % 8) >> (g < 8 ? 0 : 4) & 15;
    const int high = byte_at(from, kScales + 8 + g % 4) >> (g / 4 * 2) & 3;
    block.scales[static_cast<size_t>(g)] = static_cast<int8_t>((low | high << 4) - 32);
  }
  for (int64_t i = 0; i < kSuperBlock; ++i) {
    const int low = byte_at(from, kLow + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3;
    const int third = byte_at(from, i % 32) >> (i / 32) & 1;
    block.codes[static_cast<size_t>(i)] = static_cast<int8_t>((low | third << 2) - 4);
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
  for (int64_t j = 0; j < 32; ++j) {
    int third = 0;
    for (int64_t b = 0; b < 8; ++b) third |= codes[b * 32 + j] >> 2 << b;
    put_byte(block, j, third);
  }
  for (int64_t j = 0; j < 64; ++j) {
    int packed = 0;
    for (int64_t k = 0; k < 4; ++k)
      packed |= (codes[j / 32 * 128 + k * 32 + j % 32] & 3) << (2 * k);
    put_byte(block, kLow + j, packed);
  }
}

void encode_row(const float* x, int64_t cols, const float* importance, std::byte* to) {
  for (int64_t i = 0; i < cols; i += kSuperBlock, to += kBytes) {
    const SymmetricBlock block = encode(x + i, importance ? importance + i : nullptr, kFormat);
    const auto scale = [&](int64_t g) { return block.scales[static_cast<size_t>(g)] + 32; };
    put_codes(stored_codes(block, kFormat).data(), to);
    for (int64_t g = 0; g < 8; ++g)
      put_byte(to, kScales + g, (scale(g) & 15) | (scale(g + 8) & 15) << 4);
    for (int64_t g = 0; g < 4; ++g) {
      int high = 0;
      for (int64_t k = 0; k < 4; ++k) high |= scale(k * 4 + g) >> 4 << (2 * k);
      put_byte(to, kScales + 8 + g, high);
    }
    store_half(block.d, to + kD);
  }
}

}  // namespace

TensorType q3_k_type() {
  return {11,         "Q3_K", kSuperBlock,   kBytes,    decode_block,
          encode_row, 3,      kFormat.group, put_codes, take_apart};
}

}  // namespace attar::gguf
