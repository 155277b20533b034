// Dense floats: blocks of one.
#include "compress/formats/dtype.h"
#include "compress/formats/gguf/codecs.h"

namespace attar::gguf {
namespace {

template <DType dtype>
void decode_one(const std::byte* from, float* to) {
  to_float32({from, dtype_size(dtype)}, dtype, {to, 1});
}

template <DType dtype>
void encode_row(const float* from, int64_t cols, const float*, std::byte* to) {
  const auto count = static_cast<size_t>(cols);
  from_float32({from, count}, dtype, {to, count * dtype_size(dtype)});
}

}  // namespace

TensorType f32_type() {
  return {0, "F32", 1, 4, decode_one<DType::f32>, encode_row<DType::f32>};
}
TensorType f16_type() {
  return {1, "F16", 1, 2, decode_one<DType::f16>, encode_row<DType::f16>};
}
TensorType f64_type() {
  return {28, "F64", 1, 8, decode_one<DType::f64>};
}
TensorType bf16_type() {
  return {30, "BF16", 1, 2, decode_one<DType::bf16>, encode_row<DType::bf16>};
}

}  // namespace attar::gguf
