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

/// "1.13.1"
inline std::string version() {
  return TORCH_VERSION;
}

/// "AVX512": what LibTorch's own kernels were dispatched to.
inline std::string cpu_capability() {
#if TORCH_VERSION_MAJOR >= 2
  return at::get_cpu_capability();
#else
  const std::string text = at::get_cpu_capability();
  return text;
#endif
}

}  // namespace attar::torch_compat
