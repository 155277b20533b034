// LibTorch, as little of it as the trainable model needs, and every difference between its versions
// (1.13 of Debian 12 up to 2.x). Precompiled once for all targets that train.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Config.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/version.h>

#include <string>

namespace attar::torch_compat {

/// How an operation takes a tensor that may be absent (its arguments must be defined otherwise).
using OptionalTensor = c10::optional<at::Tensor>;
inline OptionalTensor optional(const at::Tensor& tensor) {
  return tensor.defined() ? OptionalTensor(tensor) : OptionalTensor();
}
inline at::Tensor tensor(const OptionalTensor& optional) {
  return optional.has_value() ? *optional : at::Tensor();
}

/// "1.13.1"
inline std::string version() {
  return TORCH_VERSION;
}

}  // namespace attar::torch_compat
