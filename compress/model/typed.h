// Calls a kernel with pointers of a tensor's own type.
#pragma once

#include "compress/model/kernels.h"
#include "compress/model/torch_compat.h"

namespace attar {

template <class T>
T* data(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<T*>(tensor.data_ptr()) : nullptr;
}

/// body(T{}) with T the element type of `dtype`: float or kernel::Bf16.
template <class Body>
void with_type(at::ScalarType dtype, Body body) {
  if (dtype == at::kBFloat16)
    body(kernel::Bf16{});
  else
    body(float{});
}

/// Rows that one task handles; fixed, so that sums over tasks never depend on threads.
inline constexpr int64_t kRowsPerTask = 64;

}  // namespace attar
