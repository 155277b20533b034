// The learning rate of each step.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

namespace attar {

struct Schedule {
  std::string shape = "cosine";  // cosine | linear | constant
  double peak = 1e-3, last_ratio = 0.1;
  int64_t warmup = 0, steps = 1;

  /// Of step 0 … steps − 1: rises linearly over the warm-up (its first step already learns), then
  /// falls from `peak` to peak · last_ratio at the last step.
  double at(int64_t step) const {
    if (step < warmup)
      return peak * static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
    if (shape == "constant" || steps - 1 <= warmup) return peak;
    const double progress =
        static_cast<double>(step - warmup) / static_cast<double>(steps - 1 - warmup);
    const double fall =
        shape == "linear" ? 1.0 - progress : 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
    return peak * (last_ratio + (1.0 - last_ratio) * fall);
  }
};

}  // namespace attar
