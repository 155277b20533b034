// Q5_K: as Q4_K, with 32 bytes of fifth bits before the nibbles: bit g of byte i belongs to weight
// i of group g.
#include "compress/formats/gguf/super_block.h"

namespace attar::gguf {
namespace {

constexpr int64_t kScales = 4, kFifth = 16, kCodes = 48, kBytes = 176;
constexpr AffineSweep kReference{-0.5f, 0.1f, 15};
constexpr AffineFormat kFormat{32, 31, 63, &kReference};

AffineBlock load_block(const std::byte* from) {
  AffineBlock block;
  block.d = load_half(from);
  block.dmin = load_half(from + 2);
  load_scales(from + kScales, block);
  for (int64_t i = 0; i < kSuperBlock; ++i) {
    const uint8_t pair = byte_at(from, kCodes + i / 64 * 32 + i % 32);
    const int fifth = byte_at(from, kFifth + i % 32) >> (i / 32) & 1;
    block.codes[static_cast<size_t>(i)] =
        static_cast<uint8_t>((i % 64 < 32 ? pair & 15 : pair >> 4) | fifth << 4);
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
  for (int64_t j = 0; j < 32; ++j) {
    int fifth = 0;
    for (int64_t g = 0; g < 8; ++g) fifth |= codes[g * 32 + j] >> 4 << g;
    put_byte(block, kFifth + j, fifth);
  }
  for (int64_t j = 0; j < kSuperBlock / 2; ++j) {
    const int64_t low = j / 32 * 64 + j % 32;
    put_byte(block, kCodes + j, (codes[low] & 15) | (codes[low + 32] & 15) << 4);
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

TensorType q5_k_type() {
  return {13, "Q5_K",        kSuperBlock, kBytes,     decode_block, encode_row,
          5,  kFormat.group, put_codes,   take_apart, true};
}

}  // namespace attar::gguf
