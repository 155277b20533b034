#include "compress/formats/packing.h"
#include "compress/base/threads.h"

namespace attar {
namespace {

constexpr int kWordBits = 32;

int64_t words_for(int64_t count, int bits) {
  return (count * bits + kWordBits - 1) / kWordBits;
}

/// One line of codes (every `stride`-th element) into one line of words: element i is bits [i·b,
/// (i+1)·b).
void pack_line(const uint8_t* codes, int64_t count, int64_t stride, int bits, int32_t* words,
               int64_t word_stride) {
  uint64_t pending = 0;
  int filled = 0;
  for (int64_t i = 0; i < count; ++i) {
    pending |= static_cast<uint64_t>(codes[i * stride]) << filled;
    filled += bits;
    if (filled < kWordBits) continue;
    *words = static_cast<int32_t>(static_cast<uint32_t>(pending));
    words += word_stride;
    pending >>= kWordBits;
    filled -= kWordBits;
  }
  if (filled > 0) *words = static_cast<int32_t>(static_cast<uint32_t>(pending));
}

void unpack_line(const int32_t* words, int64_t word_stride, int bits, uint8_t* codes, int64_t count,
                 int64_t stride) {
  const uint64_t mask = (uint64_t{1} << bits) - 1;
  uint64_t pending = 0;
  int filled = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (filled < bits) {
      pending |= static_cast<uint64_t>(static_cast<uint32_t>(*words)) << filled;
      words += word_stride;
      filled += kWordBits;
    }
    codes[i * stride] = static_cast<uint8_t>(pending & mask);
    pending >>= bits;
    filled -= bits;
  }
}

}  // namespace

std::vector<int32_t> pack_columns(std::span<const uint8_t> codes, int64_t rows, int64_t cols,
                                  int bits) {
  const int64_t width = words_for(cols, bits);
  std::vector<int32_t> words(static_cast<size_t>(rows * width));
  parallel_for(rows, 64, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      pack_line(codes.data() + row * cols, cols, 1, bits, words.data() + row * width, 1);
  });
  return words;
}

std::vector<uint8_t> unpack_columns(std::span<const int32_t> words, int64_t rows, int64_t cols,
                                    int bits) {
  const int64_t width = words_for(cols, bits);
  std::vector<uint8_t> codes(static_cast<size_t>(rows * cols));
  parallel_for(rows, 64, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      unpack_line(words.data() + row * width, 1, bits, codes.data() + row * cols, cols, 1);
  });
  return codes;
}

std::vector<int32_t> pack_rows(std::span<const uint8_t> codes, int64_t rows, int64_t cols,
                               int bits) {
  std::vector<int32_t> words(static_cast<size_t>(words_for(rows, bits) * cols));
  for (int64_t col = 0; col < cols; ++col)
    pack_line(codes.data() + col, rows, cols, bits, words.data() + col, cols);
  return words;
}

std::vector<uint8_t> unpack_rows(std::span<const int32_t> words, int64_t rows, int64_t cols,
                                 int bits) {
  std::vector<uint8_t> codes(static_cast<size_t>(rows * cols));
  for (int64_t col = 0; col < cols; ++col)
    unpack_line(words.data() + col, cols, bits, codes.data() + col, rows, cols);
  return codes;
}

}  // namespace attar
