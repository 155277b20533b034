#include "compress/formats/dtype.h"

#include <array>
#include <cassert>
#include <cstring>

#include "compress/base/float_types.h"

namespace attar {
namespace {

struct Row {
  DType dtype;
  size_t size;
  std::string_view name, torch, brief;
};

constexpr std::array<Row, 10> kRows = {{
    {DType::f64, 8, "F64", "float64", "fp64"},
    {DType::f32, 4, "F32", "float32", "fp32"},
    {DType::f16, 2, "F16", "float16", "fp16"},
    {DType::bf16, 2, "BF16", "bfloat16", "bf16"},
    {DType::i64, 8, "I64", "int64", "i64"},
    {DType::i32, 4, "I32", "int32", "i32"},
    {DType::i16, 2, "I16", "int16", "i16"},
    {DType::i8, 1, "I8", "int8", "i8"},
    {DType::u8, 1, "U8", "uint8", "u8"},
    {DType::boolean, 1, "BOOL", "bool", "bool"},
}};

constexpr const Row& row(DType dtype) {
  return kRows[static_cast<size_t>(dtype)];
}

/// to[i] = convert(element i of `from`), whatever the alignment.
template <class Stored, class Convert>
void widen(std::span<const std::byte> from, std::span<float> to, Convert convert) {
  assert(from.size() == to.size() * sizeof(Stored));
  for (size_t i = 0; i < to.size(); ++i) {
    Stored value;
    std::memcpy(&value, from.data() + i * sizeof(Stored), sizeof(Stored));
    to[i] = convert(value);
  }
}

void narrow(std::span<const float> from, std::span<std::byte> to, uint16_t (*convert)(float)) {
  for (size_t i = 0; i < from.size(); ++i) {
    const uint16_t value = convert(from[i]);
    std::memcpy(to.data() + i * sizeof value, &value, sizeof value);
  }
}

}  // namespace

size_t dtype_size(DType dtype) {
  return row(dtype).size;
}
std::string_view dtype_name(DType dtype) {
  return row(dtype).name;
}
std::string_view torch_dtype_name(DType dtype) {
  return row(dtype).torch;
}

std::optional<DType> dtype_from_name(std::string_view name) {
  for (const Row& r : kRows)
    if (r.name == name) return r.dtype;
  return {};
}

std::optional<DType> dtype_from_torch_name(std::string_view name) {
  for (const Row& r : kRows)
    if (r.torch == name || r.brief == name) return r.dtype;
  return {};
}

void to_float32(std::span<const std::byte> from, DType dtype, std::span<float> to) {
  switch (dtype) {
    case DType::f64:
      return widen<double>(from, to, [](double v) { return static_cast<float>(v); });
    case DType::f32:
      assert(from.size() == to.size_bytes());
      if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
      return;
    case DType::f16:
      return widen<uint16_t>(from, to, [](uint16_t v) { return from_float16(v); });
    case DType::bf16:
      return widen<uint16_t>(from, to, [](uint16_t v) { return from_bfloat16(v); });
    default:
      assert(!"to_float32 takes float types");
  }
}

void from_float32(std::span<const float> from, DType dtype, std::span<std::byte> to) {
  assert(to.size() == from.size() * dtype_size(dtype));
  switch (dtype) {
    case DType::f32:
      if (!from.empty()) std::memcpy(to.data(), from.data(), to.size());
      return;
    case DType::f16:
      return narrow(from, to, to_float16);
    case DType::bf16:
      return narrow(from, to, to_bfloat16);
    default:
      assert(!"from_float32 gives f32, f16 or bf16");
  }
}

}  // namespace attar
