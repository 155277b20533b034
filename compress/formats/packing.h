// Small unsigned codes in 32-bit words: a dense little-endian bit stream, element i in bits
// [i·bits, (i+1)·bits).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace attar {

/// [rows, cols] codes -> [rows, ceil(cols·bits/32)] words: a stream along the columns of each row.
std::vector<int32_t> pack_columns(std::span<const uint8_t> codes, int64_t rows, int64_t cols,
                                  int bits);
std::vector<uint8_t> unpack_columns(std::span<const int32_t> words, int64_t rows, int64_t cols,
                                    int bits);
/// The same along rows: [rows, cols] -> [ceil(rows·bits/32), cols].
std::vector<int32_t> pack_rows(std::span<const uint8_t> codes, int64_t rows, int64_t cols,
                               int bits);
std::vector<uint8_t> unpack_rows(std::span<const int32_t> words, int64_t rows, int64_t cols,
                                 int bits);

}  // namespace attar
