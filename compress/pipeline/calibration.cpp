#include "compress/pipeline/calibration.h"

#include <algorithm>

#include "compress/architecture/sentence_modules.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {

int64_t calibration_window(const DataSpec& data, int64_t max_positions) {
  return data.length.value_or(std::min<int64_t>(512, max_positions));
}

TokenWindows calibration_windows(const StageContext& context, const std::string& name,
                                 const ModelSpec& spec) {
  DataSpec data = *context.recipe.find_data(name);
  const bool ids =
      data.format == "ids" || (data.format.empty() && data.path.extension() == ".safetensors");
  const auto tokenizer = ids ? nullptr : Tokenizer::load(context.input);
  const bool encoder = spec.task != Task::causal_lm;
  if (!ids && !data.samples) data.samples = encoder ? kCalibrationTexts : kCalibrationWindows;
  if (!ids && encoder)
    return text_windows(data, *tokenizer, longest_text(context.input, spec), spec.vocab,
                        context.seed);
  return evaluation_windows(data, tokenizer.get(), calibration_window(data, spec.max_positions),
                            spec.vocab, context.seed);
}

nlohmann::ordered_json calibration_facts(const TokenWindows& windows) {
  return {{"source", windows.facts.source},
          {"windows", windows.count()},
          {"window", windows.window},
          {"tokens", windows.ids.size()},
          {"dropped_tokens", windows.facts.dropped_tokens},
          {"bos_added", windows.facts.bos_added},
          {"sha256", windows.facts.sha256}};
}

DType stored_dtype(const nlohmann::ordered_json& config) {
  for (const char* key : {"dtype", "torch_dtype"})
    if (config.contains(key) && config[key].is_string())
      if (const auto dtype = dtype_from_torch_name(config[key].get<std::string>())) return *dtype;
  return DType::f32;
}

}  // namespace attar
