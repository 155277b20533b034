// Q4_K: float16 d, float16 dmin, 12 bytes of 6-bit scales and offsets, 128 bytes of codes. Each 32
// bytes hold 64 weights: the low nibbles the first 32 of them.
#include "compress/formats/gguf/super_block.h"

namespace attar::gguf {
namespace {

constexpr int64_t kScales = 4, kCodes = 16, kBytes = 144;
constexpr AffineSweep kReference{-1.0f, 0.1f, 20};
constexpr AffineFormat kFormat{32, 15, 63, &kReference};

AffineBlock load_block(const std::byte* from) {
  AffineBlock block;
  block.d = load_half(from);
  block.dmin = load_half(from + 2);
  load_scales(from + kScales, block);
  for (int64_t i = 0; i < kSuperBlock; ++i) {
    const uint8_t pair = byte_at(from, kCodes + i / 64 * 32 + i % 32);
    block.codes[static_cast<size_t>(i)] = i % 64 < 32 ? pair & 15 : pair >> 4;
  }
  return block;
}

void decode_block(const std::byte* from, float* to) {
  decode(load_block(from), kFormat, to);
}

void take_apart(const std::byte* from, BlockParts& to) {
  to = parts_of(load_block(from));
}

void put_codes(const uint8_t* codes, std::byte* block) {
  for (int64_t j = 0; j < kSuperBlock / 2; ++j) {
    const int64_t low = j / 32 * 64 + j % 32;
    put_byte(block, kCodes + j, codes[low] | codes[low + 32] << 4);
  }
}

void encode_row(const float* x, int64_t cols, const float* importance, std::byte* to) {
  for (int64_t i = 0; i < cols; i += kSuperBlock, to += kBytes) {
    const AffineBlock block = encode(x + i, importance ? importance + i : nullptr, kFormat);
    store_half(block.d, to);
    store_half(block.dmin, to + 2);
    store_scales(block, to + kScales);
    put_codes(block.codes.data(), to);
  }
}

}  // namespace

TensorType q4_k_type() {
  return {12, "Q4_K",        kSuperBlock, kBytes,     decode_block, encode_row,
          4,  kFormat.group, put_codes,   take_apart, true};
}

}  // namespace attar::gguf
