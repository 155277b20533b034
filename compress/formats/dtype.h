// Element types as the field's files name them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace attar {

enum class DType : uint8_t { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

size_t dtype_size(DType dtype);
/// safetensors' name: "F32", "BF16", "I64" …
std::string_view dtype_name(DType dtype);
std::optional<DType> dtype_from_name(std::string_view name);
/// config.json's name: "float32", "bfloat16", "float16" and back; also short "fp32", "bf16",
/// "fp16".
std::string_view torch_dtype_name(DType dtype);
std::optional<DType> dtype_from_torch_name(std::string_view name);

inline bool is_float(DType d) {
  return d == DType::f64 || d == DType::f32 || d == DType::f16 || d == DType::bf16;
}

/// How many elements a tensor of this shape has.
inline int64_t element_count(std::span<const int64_t> shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

/// Widens (or narrows f64) `count` floats of type `dtype` at `from`, which need not be aligned.
void to_float32(std::span<const std::byte> from, DType dtype, std::span<float> to);
/// Rounds to nearest even into `dtype` (f32, f16 or bf16).
void from_float32(std::span<const float> from, DType dtype, std::span<std::byte> to);

}  // namespace attar
