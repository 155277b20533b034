// The rows of the table in tensor_types.cpp, one file each, and what they share.
#pragma once

#include <cstring>

#include "compress/base/float_types.h"
#include "compress/formats/gguf/tensor_types.h"

namespace attar::gguf {

TensorType f32_type();
TensorType f16_type();
TensorType bf16_type();
TensorType f64_type();
TensorType q4_0_type();
TensorType q4_1_type();
TensorType q5_0_type();
TensorType q5_1_type();
TensorType q8_0_type();
TensorType q2_k_type();
TensorType q3_k_type();
TensorType q4_k_type();
TensorType q5_k_type();
TensorType q6_k_type();
TensorType iq4_nl_type();
TensorType iq4_xs_type();

constexpr int64_t kBlock = 32;        // weights of the simple types' blocks
constexpr int64_t kSuperBlock = 256;  // of the K types'

/// A float16 in a block, at any alignment.
inline float load_half(const std::byte* from) {
  uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return from_float16(bits);
}
inline void store_half(float value, std::byte* to) {
  const uint16_t bits = to_float16(value);
  std::memcpy(to, &bits, sizeof bits);
}

/// A byte of a block as a number, and back.
inline uint8_t byte_at(const std::byte* from, int64_t index) {
  return std::to_integer<uint8_t>(from[index]);
}
inline void put_byte(std::byte* to, int64_t index, int value) {
  to[index] = static_cast<std::byte>(value);
}

}  // namespace attar::gguf
