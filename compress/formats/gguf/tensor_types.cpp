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

}  // namespace attar::gguf
