#include "compress/formats/gguf/tensor_types.h"

#include <algorithm>
#include <cassert>

#include "compress/base/threads.h"
#include "compress/formats/gguf/codecs.h"

namespace attar::gguf {

std::span<const TensorType> tensor_types() {
  static const std::vector<TensorType> table = {
      f32_type(),
      f16_type(),
      q4_0_type(),
      q4_1_type(),
      q5_0_type(),
      q5_1_type(),
      q8_0_type(),
      {9, "Q8_1", kBlock, 36},
      q2_k_type(),
      q3_k_type(),
      q4_k_type(),
      q5_k_type(),
      q6_k_type(),
      {15, "Q8_K", kSuperBlock, 292},
      {16, "IQ2_XXS", kSuperBlock, 66},
      {17, "IQ2_XS", kSuperBlock, 74},
      {18, "IQ3_XXS", kSuperBlock, 98},
      {19, "IQ1_S", kSuperBlock, 50},
      iq4_nl_type(),
      {21, "IQ3_S", kSuperBlock, 110},
      {22, "IQ2_S", kSuperBlock, 82},
      iq4_xs_type(),
      {24, "I8", 1, 1},
      {25, "I16", 1, 2},
      {26, "I32", 1, 4},
      {27, "I64", 1, 8},
      f64_type(),
      {29, "IQ1_M", kSuperBlock, 56},
      bf16_type(),
      {34, "TQ1_0", kSuperBlock, 54},
      {35, "TQ2_0", kSuperBlock, 66},
      {39, "MXFP4", kBlock, 17},
  };
  return table;
}

const TensorType* find_tensor_type(uint32_t id) {
  for (const TensorType& type : tensor_types())
    if (type.id == id) return &type;
  return nullptr;
}

const TensorType* find_tensor_type(std::string_view name) {
  for (const TensorType& type : tensor_types())
    if (type.name == name) return &type;
  return nullptr;
}

std::vector<float> decode(const TensorType& type, std::span<const std::byte> bytes, int64_t rows,
                          int64_t cols) {
  const int64_t blocks = cols / type.block;
  assert(type.decode != nullptr &&
         static_cast<int64_t>(bytes.size()) == rows * type.row_bytes(cols));
  std::vector<float> values(static_cast<size_t>(rows * cols));
  parallel_for(rows, 16, [&](int64_t first, int64_t last) {
    for (int64_t block = first * blocks; block < last * blocks; ++block)
      type.decode(bytes.data() + block * type.bytes, values.data() + block * type.block);
  });
  return values;
}

std::vector<std::byte> encode(const TensorType& type, std::span<const float> values, int64_t rows,
                              int64_t cols, std::span<const float> importance) {
  assert(type.encode != nullptr && cols % type.block == 0);
  assert(static_cast<int64_t>(values.size()) == rows * cols);
  assert(importance.empty() || static_cast<int64_t>(importance.size()) == cols);
  const int64_t row_bytes = type.row_bytes(cols);
  std::vector<std::byte> bytes(static_cast<size_t>(rows * row_bytes));
  parallel_for(rows, 4, [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row)
      type.encode(values.data() + row * cols, cols,
                  importance.empty() ? nullptr : importance.data(), bytes.data() + row * row_bytes);
  });
  return bytes;
}

CodeGrid grid_of(const TensorType& type, std::span<const std::byte> bytes, int64_t rows,
                 int64_t cols) {
  assert(type.put_codes != nullptr);
  const int64_t blocks = rows * cols / type.block, groups = type.block / type.group;
  const int highest = (1 << type.bits) - 1;
  CodeGrid grid;
  grid.steps.resize(static_cast<size_t>(blocks * groups));
  grid.bases.resize(grid.steps.size());
  parallel_for(blocks, 64, [&](int64_t first, int64_t last) {
    std::vector<std::byte> copy(static_cast<size_t>(type.bytes));
    std::vector<uint8_t> codes(static_cast<size_t>(type.block));
    std::vector<float> low(codes.size()), high(codes.size());
    for (int64_t block = first; block < last; ++block) {
      std::copy_n(bytes.begin() + block * type.bytes, type.bytes, copy.begin());
      for (const auto& [code, values] : {std::pair{0, &low}, {highest, &high}}) {
        std::fill(codes.begin(), codes.end(), static_cast<uint8_t>(code));
        type.put_codes(codes.data(), copy.data());
        type.decode(copy.data(), values->data());
      }
      for (int64_t g = 0; g < groups; ++g) {
        const auto at = static_cast<size_t>(block * groups + g);
        const auto from = static_cast<size_t>(g * type.group);
        grid.bases[at] = low[from];
        grid.steps[at] = (high[from] - low[from]) / static_cast<float>(highest);
      }
    }
  });
  return grid;
}

void put_codes(const TensorType& type, std::span<const uint8_t> codes, int64_t rows, int64_t cols,
               std::span<std::byte> bytes) {
  assert(static_cast<int64_t>(codes.size()) == rows * cols);
  parallel_for(rows * cols / type.block, 64, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block)
      type.put_codes(codes.data() + block * type.block, bytes.data() + block * type.bytes);
  });
}

QuantizedMatrix matrix_of(const TensorType& type, std::span<const std::byte> bytes, int64_t rows,
                          int64_t cols) {
  assert(type.take_apart != nullptr);
  const auto block = static_cast<size_t>(type.block);
  const size_t groups = block / static_cast<size_t>(type.group);  // of a block
  QuantizedMatrix q;
  q.layout = {type.bits, type.group, !type.offsets, groups == 1 ? DType::f16 : DType::f32,
              false,     type.levels};
  q.rows = rows;
  q.cols = cols;
  q.codes.resize(static_cast<size_t>(rows * cols));
  q.scales.resize(static_cast<size_t>(rows * q.groups()));
  if (type.offsets) q.offsets.resize(q.scales.size());
  const int64_t blocks = rows * cols / type.block;
  if (groups > 1) {
    q.unit_groups = static_cast<int64_t>(groups);
    q.scale_units.resize(static_cast<size_t>(blocks));
    if (type.offsets) q.offset_units.resize(q.scale_units.size());
  }
  parallel_for(blocks, 256, [&](int64_t first, int64_t last) {
    BlockParts parts;
    for (auto b = static_cast<size_t>(first); b < static_cast<size_t>(last); ++b) {
      type.take_apart(bytes.data() + b * static_cast<size_t>(type.bytes), parts);
      std::copy_n(parts.codes.begin(), block, q.codes.begin() + static_cast<int64_t>(b * block));
      for (size_t g = 0; g < groups; ++g) {
        q.scales[b * groups + g] = parts.d * static_cast<float>(parts.scales[g]);
        if (type.offsets)
          q.offsets[b * groups + g] = -parts.dmin * static_cast<float>(parts.offsets[g]);
      }
      if (groups == 1) continue;
      q.scale_units[b] = parts.d;
      if (type.offsets) q.offset_units[b] = -parts.dmin;
    }
  });
  return q;
}

}  // namespace attar::gguf
