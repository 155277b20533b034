#include "quantize/presets.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "quantize/schemes.h"

namespace attar {

std::span<const Preset> presets() {
  static constexpr std::array kTable = {
      Preset{"fast", "scales span each group's range", "minmax", "minmax", 0, 0, false},
      Preset{"default", "scales with the smallest output error", "hessian", "minmax", 0, 0, false},
      Preset{"best",
             "… of either sign, codes and scales refined, earlier layers' error made up for",
             "hessian", "output", 6, 0.3, true},
  };
  return kTable;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& row : presets()) names.emplace_back(row.name);
  return names;
}

QuantizeOptions with_preset(QuantizeOptions options) {
  const auto all = presets();
  const auto row = std::find_if(
      all.begin(), all.end(), [&](const Preset& preset) { return preset.name == options.preset; });
  assert(row != all.end());
  const bool gptq = options.method == "gptq", data = !options.data.empty();
  const bool gguf = is_gguf_scheme(options.scheme);
  const bool levels = levels_of(options.scheme) != Levels::integers;
  if (options.format == "auto")
    options.format = gguf ? "gguf" : levels ? "bitsandbytes" : "compressed-tensors";
  if (gguf) {  // the block types' own search; there is nothing else to choose
    if (options.scale_search == "auto")
      options.scale_search = data && options.preset != "fast" ? "hessian" : "minmax";
    if (!options.refine) options.refine = 0;
    if (!options.signed_scales) options.signed_scales = false;
  }
  if (levels) {  // a block's largest magnitude is its scale
    if (options.scale_search == "auto") options.scale_search = "minmax";
    if (!options.signed_scales) options.signed_scales = false;
  }
  if (options.fold == "auto")
    options.fold =
        options.method == "awq" || options.method == "smoothquant" ? options.method : "none";
  if (options.scale_search == "auto") {
    options.scale_search = std::string(gptq ? row->scale_search : row->nearest_search);
    if (options.method == "awq") options.scale_search = "output";  // AWQ's clipping
    if (options.scale_search == "output" && !data) options.scale_search = "mse";
  }
  if (!options.refine) options.refine = gptq ? row->refine : 0;
  if (!options.correction)
    options.correction = gptq && options.propagate_error ? row->correction : 0;
  if (!options.signed_scales) options.signed_scales = row->signed_scales;
  return options;
}

}  // namespace attar
