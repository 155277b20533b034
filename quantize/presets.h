// Named settings of the quantize stage's search options: how much time is spent on quality.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quantize/options.h"

namespace attar {

struct Preset {
  std::string_view name, summary;
  std::string_view scale_search;    // of gptq
  std::string_view nearest_search;  // of the others; without data, output becomes mse
  int64_t refine = 0;               // gptq only
  double correction = 0;            // gptq only
  bool signed_scales = false;
};

/// The table.
std::span<const Preset> presets();
std::vector<std::string> preset_names();

/// Every option that a recipe left open, filled in from its preset and method.
QuantizeOptions with_preset(QuantizeOptions options);

}  // namespace attar
