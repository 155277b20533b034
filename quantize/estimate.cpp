#include "quantize/estimate.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/architecture/family.h"
#include "compress/formats/quant_format.h"
#include "compress/pipeline/calibration.h"
#include "quantize/emit.h"
#include "quantize/legal_options.h"
#include "quantize/modules.h"
#include "quantize/options.h"
#include "quantize/presets.h"

namespace attar {
namespace {

uint64_t count_of(const std::vector<int64_t>& shape) {
  uint64_t count = 1;
  for (const int64_t size : shape) count *= static_cast<uint64_t>(size);
  return count;
}

uint64_t bytes_of(const TensorPlan& plan, const QuantFormat& format) {
  if (!plan.layout) return count_of(plan.shape) * dtype_size(plan.dtype);
  uint64_t bytes = 0;
  for (const auto& part : format.declare(plan.name, plan.shape[0], plan.shape[1], *plan.layout))
    bytes += count_of(part.shape) * dtype_size(part.dtype);
  return bytes;
}

/// Consumers' usual constraints; a broken one is worth a line.
void note_legality(const QuantPlan& plan, std::vector<std::string>& notes) {
  for (const QuantModule& module : plan.modules) {
    if (module.layout.levels != Levels::integers) continue;  // whole blocks, told already
    if (module.linear.out % 8 != 0)
      notes.push_back(fmt::format("{}: {} rows are no multiple of 8, which AWQ layouts need",
                                  module.name, module.linear.out));
    const int64_t per_word = 32 / module.layout.bits;
    if (32 % module.layout.bits == 0 && module.linear.in % per_word != 0)
      notes.push_back(fmt::format("{}: {} columns do not fill whole words of {} codes", module.name,
                                  module.linear.in, per_word));
  }
}

}  // namespace

StageEstimate estimate_quantize(const StageSpec& stage, const Recipe& recipe,
                                const EstimateInput& input) {
  Problems problems;
  auto options = with_preset(parse_options<QuantizeOptions>(stage.options, problems, kStageKeys));
  problems.throw_if_any();
  const ModelSpec spec = read_model_spec(input.config, stage.where);
  const Scheme& scheme = find_scheme(options.scheme, stage.where);
  if (scheme.mixture != nullptr) options.group_size = 0;  // nothing to fall back from
  const QuantFormat& format = file_layout(options, stage.where + ".format");
  const DType own = stored_dtype(input.config);
  const DType scale = scale_dtype(options, format, [own] { return own; });
  const QuantPlan plan = plan_modules(spec, options, scale, stage.where);
  if (scheme.mixture == nullptr) check_layouts(plan, format, stage.where + ".format");
  const DType dense =
      options.dense_dtype == "keep" ? own : *dtype_from_torch_name(options.dense_dtype);

  StageEstimate estimate;
  estimate.config = input.config;
  estimate.parameters = input.parameters;
  uint64_t quantized = 0;
  if (scheme.mixture != nullptr) {
    const double bits = gguf::find_tensor_type(scheme.mixture->base)->bits_per_weight();
    estimate.bytes = static_cast<uint64_t>(static_cast<double>(input.parameters) * bits / 8);
    estimate.notes.push_back(
        fmt::format("size as if every tensor were {}; {} gives some of them more bits",
                    scheme.mixture->base, scheme.name));
  }
  for (const TensorPlan& tensor :
       plan_tensors(spec, plan, dense, [](const std::string&) { return DType::f32; })) {
    if (scheme.mixture == nullptr && (!tensor.layout || !options.budget))
      estimate.bytes += bytes_of(tensor, format);
    quantized += tensor.layout ? count_of(tensor.shape) : 0;
  }

  if (options.budget) {
    const BudgetOptions& budget = *options.budget;
    estimate.bytes += static_cast<uint64_t>(budget.bytes ? static_cast<double>(*budget.bytes)
                                                         : budget.bits_per_weight.value_or(0) / 8 *
                                                               static_cast<double>(quantized));
    estimate.notes.push_back("which layer gets how many bits is measured when the stage runs");
  }

  // Streaming: one block in float32 twice (packed, being rounded), its widest second moments (sums
  // in float64, their factor, float32 copies), the hidden states of all windows, and what the
  // widest output projection reads.
  uint64_t block = 0, widest = 0;
  for (const QuantModule& module : plan.modules) {
    if (module.block == 0)
      block += static_cast<uint64_t>(module.linear.out) * static_cast<uint64_t>(module.linear.in);
    widest = std::max(widest, static_cast<uint64_t>(module.linear.in));
  }
  const DataSpec* data = recipe.find_data(options.data);
  const bool calibrated = data != nullptr && calibrates(options);
  const auto window =
      static_cast<uint64_t>(data ? calibration_window(*data, spec.max_positions) : 0);
  const uint64_t tokens =
      calibrated ? window * static_cast<uint64_t>(data->samples.value_or(kCalibrationWindows)) : 0;
  const uint64_t streams = *options.correction > 0 ? 2 : 1;
  const bool looks = options.fold != "none" || !options.true_sequential;  // on copies of the states
  const uint64_t states = static_cast<uint64_t>(spec.hidden) * (looks ? 2 : 1) + widest;
  estimate.peak_bytes = block * 9 + tokens * states * 4 * streams;
  if (calibrated) estimate.peak_bytes += widest * widest * 32;

  constexpr double kFlopsPerSecond = 2e11, kWeightsPerSecond = 5e7;
  const auto weights = static_cast<double>(quantized);
  const double passes = (1.5 + (looks ? 1.0 : 0.0)) * static_cast<double>(streams) +
                        (*options.correction > 0 ? 1.5 : 0);
  estimate.seconds = weights / kWeightsPerSecond +
                     passes * 2 * weights * static_cast<double>(tokens) / kFlopsPerSecond;
  for (const Fallback& fallback : plan.fallbacks)
    estimate.notes.push_back(
        fmt::format("{}: {} ({})", fallback.where, fallback.what, fallback.why));
  estimate.notes.insert(estimate.notes.end(), plan.notes.begin(), plan.notes.end());
  if (scheme.mixture == nullptr) note_legality(plan, estimate.notes);
  return estimate;
}

}  // namespace attar
