#include "compress/pipeline/calibration.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/architecture/sentence_modules.h"
#include "compress/data/overlap.h"
#include "compress/runtime/encoder.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {

int64_t calibration_window(const DataSpec& data, int64_t max_positions) {
  return data.length.value_or(std::min<int64_t>(512, max_positions));
}

namespace {

bool holds_ids(const DataSpec& data) {
  return data.format == "ids" || (data.format.empty() && data.path.extension() == ".safetensors");
}

TokenWindows windows_of(const StageContext& context, const DataSpec& data, const ModelSpec& spec) {
  const bool ids = holds_ids(data);
  const auto tokenizer = ids ? nullptr : Tokenizer::load(context.input);
  if (!ids && spec.task != Task::causal_lm)
    return text_windows(data, *tokenizer, longest_text(context.input, spec), spec.vocab,
                        context.seed);
  return evaluation_windows(data, tokenizer.get(), calibration_window(data, spec.max_positions),
                            spec.vocab, context.seed);
}

}  // namespace

TokenWindows calibration_windows(const StageContext& context, const std::string& name,
                                 const ModelSpec& spec) {
  DataSpec data = *context.recipe.find_data(name);
  if (!holds_ids(data) && !data.samples)
    data.samples = spec.task != Task::causal_lm ? kCalibrationTexts : kCalibrationWindows;
  return windows_of(context, data, spec);
}

HiddenStream calibration_stream(const ModelSpec& spec, const WeightSource& weights,
                                const TokenWindows& windows, int64_t count) {
  const auto size = static_cast<size_t>(windows.start(count));
  const auto ids = std::span(windows.ids).first(size);
  if (windows.starts.empty() && spec.task == Task::causal_lm)
    return HiddenStream(spec, weights, ids, windows.window);
  std::vector<int64_t> starts;
  for (int64_t w = 0; w <= count; ++w) starts.push_back(windows.start(w));
  const auto types = std::span(windows.types).first(windows.types.empty() ? 0 : size);
  return HiddenStream(spec, weights, ids, types, std::move(starts));
}

std::vector<float> streamed_results(const ModelSpec& spec, const WeightSource& weights,
                                    const TokenWindows& windows, int64_t count,
                                    const std::vector<int64_t>& blocks) {
  HiddenStream stream = calibration_stream(spec, weights, windows, count);
  for (int64_t block = 0; block < std::ssize(spec.blocks); ++block)
    if (blocks.empty() || std::find(blocks.begin(), blocks.end(), block) != blocks.end())
      stream.pass(Block(spec, block, weights), block);
  std::vector<float> results;
  if (spec.task == Task::causal_lm) {
    results.resize(static_cast<size_t>(stream.rows() * spec.vocab));
    OutputHead(spec, weights).logits(stream.hidden().data(), stream.rows(), results.data());
    return results;
  }
  const EncoderHead head(spec, weights);
  std::vector<int64_t> lengths;
  for (int64_t w = 0; w < count; ++w) lengths.push_back(stream.window_length(w));
  results.resize(static_cast<size_t>(count * head.width()));
  head.apply(stream.hidden().data(), lengths, Activations::exact, results.data());
  return results;
}

nlohmann::ordered_json calibration_facts(const TokenWindows& windows) {
  return {{"source", windows.facts.source},
          {windows.starts.empty() ? "windows" : "texts", windows.count()},
          {windows.starts.empty() ? "window" : "longest_text", windows.window},
          {"tokens", windows.ids.size()},
          {"dropped_tokens", windows.facts.dropped_tokens},
          {"bos_added", windows.facts.bos_added},
          {"sha256", windows.facts.sha256}};
}

nlohmann::ordered_json audited_facts(const StageContext& context, const TokenWindows& windows,
                                     const ModelSpec& spec) {
  nlohmann::ordered_json facts = calibration_facts(windows);
  const auto& evaluate = context.recipe.evaluate;
  const DataSpec* data = evaluate ? context.recipe.find_data(evaluate->data) : nullptr;
  if (data == nullptr) return facts;
  const Overlap overlap = find_overlap(windows, windows_of(context, *data, spec));
  facts["repeated_windows"] = overlap.repeated;
  facts["shared_with"] = evaluate->data;
  facts["shared_tokens"] = overlap.shared;
  if (overlap.share() >= 0.01)
    context.report.fallbacks.push_back(
        {"calibrated on text that is evaluated too", evaluate->data,
         fmt::format("{:.1f} % of the calibration tokens lie in runs of 32 that it holds; results "
                     "on it flatter",
                     100 * overlap.share())});
  return facts;
}

DType stored_dtype(const nlohmann::ordered_json& config) {
  for (const char* key : {"dtype", "torch_dtype"})
    if (config.contains(key) && config[key].is_string())
      if (const auto dtype = dtype_from_torch_name(config[key].get<std::string>())) return *dtype;
  return DType::f32;
}

}  // namespace attar
