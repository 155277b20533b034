#include "quantize/module_quantizer.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "compress/base/error.h"
#include "quantize/correction.h"
#include "quantize/gptq.h"
#include "quantize/refine.h"
#include "quantize/rtn.h"

namespace attar {
namespace {

/// What the layers of one input share.
struct InputPicture {
  std::vector<float> hessian, cross;
  std::vector<float> diagonal;    // of the Hessian: what an error costs that nothing makes up for
  std::vector<float> importance;  // … and what it costs after compensation
  HessianFactor factor;
};

InputPicture picture_of(const InputMoments& moments, const QuantizeOptions& options) {
  InputPicture picture;
  picture.hessian = moments.hessian();
  if (!moments.cross.empty()) picture.cross = moments.error_cross();
  picture.factor =
      factor_hessian(picture.hessian, moments.size,
                     {options.damping,
                      options.act_order == "static" ? ColumnOrder::descending : ColumnOrder::none});
  if (!picture.factor.ok) return picture;
  const auto size = static_cast<size_t>(moments.size);
  for (size_t j = 0; j < size; ++j) picture.diagonal.push_back(picture.hessian[j * (size + 1)]);
  picture.importance.resize(size);
  for (size_t k = 0; k < size; ++k)
    picture.importance[static_cast<size_t>(picture.factor.order[k])] =
        static_cast<float>(picture.factor.pivots[k]);
  return picture;
}

double squares(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return sum;
}

std::vector<float> load_floats(const QuantModule& module, const WeightSource& weights) {
  const Weight weight = weights.load(module.linear.weight);
  const auto* dense = std::get_if<DenseTensor>(&weight);
  if (dense == nullptr)
    throw bad_input("this layer is quantized already", module.name,
                    "quantize the float model it came from");
  std::vector<float> w = dense->floats();
  require_finite(module.linear.weight, w);
  return w;
}

struct Outcome {
  QuantizedMatrix matrix;
  BlockMatrix blocks;  // instead, in a GGUF scheme
  std::string method = "rtn";
  int64_t refined = 0;

  std::vector<float> values() const {
    return blocks.type != nullptr ? dequantize(blocks) : dequantize(matrix);
  }
};

Outcome encode_weights(std::span<const float> target, const QuantModule& module,
                       const InputPicture* picture, const QuantizeOptions& options) {
  Outcome outcome;
  const bool feedback = options.method == "gptq" && picture != nullptr;
  if (feedback) outcome.method = "gptq";
  std::span<const float> importance;
  if (options.scale_search != "minmax" && picture != nullptr)
    importance = feedback ? picture->importance : picture->diagonal;
  outcome.blocks = round_to_blocks(target, module.linear.out, module.linear.in, *module.block_type,
                                   importance, feedback ? &picture->factor : nullptr);
  return outcome;
}

Outcome quantize_weights(std::span<const float> target, const QuantModule& module,
                         const InputPicture* picture, const QuantizeOptions& options) {
  if (module.block_type != nullptr) return encode_weights(target, module, picture, options);
  const int64_t rows = module.linear.out, cols = module.linear.in;
  ScaleOptions scales;
  scales.signed_scales = *options.signed_scales;
  if (options.scale_search != "minmax") scales.search = ScaleSearch::search;
  if (options.scale_search == "hessian" && picture != nullptr)
    scales.importance = options.method == "gptq" ? picture->importance : picture->diagonal;
  if (options.scale_search == "output" && picture != nullptr) scales.hessian = picture->hessian;
  Outcome outcome;
  if (options.method != "gptq" || picture == nullptr) {
    outcome.matrix = rtn(target, rows, cols, module.layout, scales);
    return outcome;
  }
  outcome.method = "gptq";
  outcome.matrix = gptq(target, rows, picture->factor, module.layout, {scales, false}).matrix;
  if (*options.refine > 0)
    outcome.refined = refine(target, picture->hessian, outcome.matrix,
                             {static_cast<int>(*options.refine), picture->factor.damping});
  return outcome;
}

nlohmann::ordered_json row_of(const QuantModule& module, const Outcome& outcome,
                              std::span<const float> w, std::span<const float> target,
                              const InputMoments* moments, const InputPicture* picture) {
  std::vector<float> error = outcome.values();
  for (size_t i = 0; i < error.size(); ++i) error[i] = target[i] - error[i];
  nlohmann::ordered_json row = {
      {"module", module.name},
      {"layout",
       module.block_type != nullptr ? std::string(module.block_type->name) : module.layout.name()},
      {"method", outcome.method},
      {"relative_weight_error", squares(error) / squares(w)}};
  if (moments == nullptr) return row;
  row["tokens"] = moments->tokens;
  if (picture == nullptr) return row;
  const int64_t rows = module.linear.out, cols = module.linear.in;
  const double loss = output_energy(error, rows, picture->hessian, cols);
  const double energy = output_energy(w, rows, picture->hessian, cols);
  row["loss"] = loss;
  row["relative_output_error"] = energy > 0 ? loss / energy : 0;
  row["damping"] = picture->factor.damping;
  row["dead_columns"] = picture->factor.dead_columns;
  if (outcome.refined > 0) row["codes_refined"] = outcome.refined;
  return row;
}

}  // namespace

Weight QuantizedModules::weight_of(const std::string& module) const {
  const auto found = matrices.find(module);
  if (found != matrices.end()) return found->second;
  return dense_of(blocks.at(module));
}

std::map<std::string, Weight> QuantizedModules::weights() const {
  std::map<std::string, Weight> result(matrices.begin(), matrices.end());
  for (const auto& [module, matrix] : blocks) result.emplace(module, dense_of(matrix));
  return result;
}

void quantize_modules(const std::vector<const QuantModule*>& modules, const InputMoments* moments,
                      const WeightSource& weights, const QuantizeOptions& options,
                      QuantizedModules& result) {
  std::optional<InputPicture> picture;
  const bool enough = moments != nullptr && moments->tokens >= options.min_tokens;
  if (enough) picture = picture_of(*moments, options);
  const bool usable = picture && picture->factor.ok;
  for (const QuantModule* module : modules) {
    if (moments != nullptr && !usable) {
      const std::string why =
          enough ? "its inputs' second moments are all zero, or singular at any damping"
                 : fmt::format("{} calibration tokens reached it, min_tokens is {}",
                               moments->tokens, options.min_tokens);
      if (options.strict)
        throw failure(
            fmt::format("{} cannot be calibrated: {}", module->name, why), module->name,
            "use more or other calibration data, or strict: false to round it to nearest");
      result.fallbacks.push_back({"rounded to nearest without calibration", module->name, why});
    } else if (usable && picture->factor.escalations > 0) {
      result.fallbacks.push_back({fmt::format("damping raised to {:g}", picture->factor.damping),
                                  module->name, "the Hessian was not positive definite"});
    }
    const std::vector<float> w = load_floats(*module, weights);
    std::vector<float> target = w;
    if (usable && !picture->cross.empty())
      target = corrected_target(w, module->linear.out, picture->hessian, picture->cross,
                                module->linear.in, options.damping, *options.correction);
    const InputPicture* shared = usable ? &*picture : nullptr;
    try {
      Outcome outcome = quantize_weights(target, *module, shared, options);
      result.rows.push_back(row_of(*module, outcome, w, target, moments, shared));
      if (outcome.blocks.type != nullptr)
        result.blocks.emplace(module->name, std::move(outcome.blocks));
      else
        result.matrices.emplace(module->name, std::move(outcome.matrix));
    } catch (const Error& error) {
      throw Error(error.code(), error.what(), module->name + ": " + error.where(), error.hint());
    }
  }
}

}  // namespace attar
