// The element types of GGUF tensors: blocks of weights that share scales (ggml-org/ggml,
// src/ggml-common.h). One row per type; those with functions are read and written, the others are
// known by size only, so that a file that holds them can be looked at.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "compress/formats/quantized_matrix.h"

namespace attar::gguf {

/// The numbers that a block of codes consists of: with a scale and an offset for each group, a
/// weight is d · scale · (code − zero), d · scale · code − dmin · offset or d · scale ·
/// level[code].
struct BlockParts {
  float d = 0, dmin = 0;  // float16 values
  std::array<int8_t, 16> scales{}, offsets{};
  std::array<uint8_t, 256> codes{};
};

struct TensorType {
  uint32_t id;
  std::string_view name;  // "Q4_K"
  int64_t block;          // weights in a block
  int64_t bytes;          // of a block
  /// One block of `bytes` bytes -> `block` floats, as ggml gives them.
  void (*decode)(const std::byte* from, float* to) = nullptr;
  /// A row of `cols` floats -> its blocks. `importance` [cols] says how much the square of each
  /// column's error counts, or is null. cols is a multiple of `block`.
  void (*encode)(const float* from, int64_t cols, const float* importance, std::byte* to) = nullptr;
  /// Of integer types: bits of a code, weights that share a scale, and what puts other codes
  /// [block] (0 … 2^bits − 1) into an encoded block, whose scales stay.
  int bits = 0;
  int64_t group = 0;
  void (*put_codes)(const uint8_t* codes, std::byte* block) = nullptr;
  /// A block's numbers, and whether groups have offsets; else their zero is 2^(bits − 1).
  void (*take_apart)(const std::byte* block, BlockParts& to) = nullptr;
  bool offsets = false;
  Levels levels = Levels::integers;  // what codes stand for

  double bits_per_weight() const {
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(block);
  }
  int64_t row_bytes(int64_t cols) const { return cols / block * bytes; }
};

/// The table, by id.
std::span<const TensorType> tensor_types();
/// nullptr when the id or name is unknown.
const TensorType* find_tensor_type(uint32_t id);
const TensorType* find_tensor_type(std::string_view name);

/// `rows` · `cols` floats of consecutive rows.
std::vector<float> decode(const TensorType& type, std::span<const std::byte> bytes, int64_t rows,
                          int64_t cols);
/// The blocks of all rows; the same bytes for any number of threads.
std::vector<std::byte> encode(const TensorType& type, std::span<const float> values, int64_t rows,
                              int64_t cols, std::span<const float> importance = {});

/// What the codes of encoded rows stand for: value = base + code · step, a pair for each group.
struct CodeGrid {
  std::vector<float> steps, bases;  // [rows, cols / type.group]
};
/// `type` has put_codes.
CodeGrid grid_of(const TensorType& type, std::span<const std::byte> bytes, int64_t rows,
                 int64_t cols);
/// Puts codes [rows, cols] into encoded rows; scales stay.
void put_codes(const TensorType& type, std::span<const uint8_t> codes, int64_t rows, int64_t cols,
               std::span<std::byte> bytes);

/// Codes, scales and offsets as they are; dequantized they are decode()'s values. `type` has
/// take_apart.
QuantizedMatrix matrix_of(const TensorType& type, std::span<const std::byte> bytes, int64_t rows,
                          int64_t cols);

}  // namespace attar::gguf
