// Q2_K: 16 bytes of scales (low nibble) and offsets (high) of 16 weights each, 64 bytes of codes,
// float16 d, float16 dmin. Each 32 bytes of codes hold 128 weights, 32 at every shift.
#include "compress/formats/gguf/super_block.h"

namespace attar::gguf {
namespace {

constexpr int64_t kCodes = 16, kD = 80, kDmin = 82, kBytes = 84;
constexpr AffineFormat kFormat{16, 3, 15, nullptr};

AffineBlock load_block(const std::byte* from) {
  AffineBlock block;
  block.d = load_half(from + kD);
  block.dmin = load_half(from + kDmin);
  for (size_t g = 0; g < 16; ++g) {
    const uint8_t pair = byte_at(from, static_cast<int64_t>(g));
    block.scales[g] = pair & 15;
    block.offsets[g] = pair >> 4;
  }
  for (int64_t i = 0; i < kSuperBlock; ++i)
    block.codes[static_cast<size_t>(i)] =
        byte_at(from, kCodes + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3;
  return block;
}

void decode_block(const std::byte* from, float* to) {
  decode(load_block(from), kFormat, to);
}

void take_apart(const std::byte* from, BlockParts& to) {
  to = parts_of(load_block(from));
}

void put_codes(const uint8_t* codes, std::byte* block) {
  for (int64_t j = 0; j < 64; ++j) {
    int packed = 0;
    for (int64_t k = 0; k < 4; ++k) packed |= codes[j / 32 * 128 + k * 32 + j % 32] << (2 * k);
    put_byte(block, kCodes + j, packed);
  }
}

void encode_row(const float* x, int64_t cols, const float* importance, std::byte* to) {
  for (int64_t i = 0; i < cols; i += kSuperBlock, to += kBytes) {
    const AffineBlock block = encode(x + i, importance ? importance + i : nullptr, kFormat);
    for (size_t g = 0; g < 16; ++g)
      put_byte(to, static_cast<int64_t>(g), block.scales[g] | block.offsets[g] << 4);
    put_codes(block.codes.data(), to);
    store_half(block.d, to + kD);
    store_half(block.dmin, to + kDmin);
  }
}

}  // namespace

TensorType q2_k_type() {
  return {10, "Q2_K",        kSuperBlock, kBytes,     decode_block, encode_row,
          2,  kFormat.group, put_codes,   take_apart, true};
}

}  // namespace attar::gguf
