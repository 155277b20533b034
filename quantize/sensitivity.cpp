#include "quantize/sensitivity.h"

#include <algorithm>
#include <map>

#include "quantize/divergence.h"
#include "quantize/rtn.h"

namespace attar {
namespace {

/// The unit's layers rounded to `bits`.
std::map<std::string, Weight> rounded(const SensitivityUnit& unit, int bits,
                                      const WeightSource& weights) {
  ScaleOptions scales;
  scales.search = ScaleSearch::search;
  std::map<std::string, Weight> result;
  for (const QuantModule* module : unit.modules) {
    QuantLayout layout = module->layout;
    layout.bits = bits;
    result.emplace(module->name, rtn(weights.floats(module->linear.weight), module->linear.out,
                                     module->linear.in, layout, scales));
  }
  return result;
}

double size_of(const SensitivityUnit& unit, int bits) {
  double size = 0;
  for (const QuantModule* module : unit.modules) {
    QuantLayout layout = module->layout;
    layout.bits = bits;
    size += bits_per_weight(layout, module->linear.in) *
            static_cast<double>(module->linear.out * module->linear.in);
  }
  return size;
}

}  // namespace

std::vector<BudgetUnit> measure_sensitivity(const Model& model, std::span<const int32_t> ids,
                                            int64_t window,
                                            const std::vector<SensitivityUnit>& units,
                                            const std::function<void(int64_t)>& progress) {
  const ModelSpec& spec = model.spec;
  const WeightSource& weights = *model.weights;
  const auto blocks = static_cast<int64_t>(spec.blocks.size());
  const OutputHead head(spec, weights);
  HiddenStream stream(spec, weights, ids, window);
  const auto finish = [&](HiddenStream& to, int64_t from) {
    for (int64_t block = from; block < blocks; ++block) to.pass(Block(spec, block, weights), block);
  };
  HiddenStream reference = stream;
  finish(reference, 0);

  std::vector<BudgetUnit> result;
  int64_t at = 0;
  for (size_t i = 0; i < units.size(); ++i) {
    progress(static_cast<int64_t>(i));
    const SensitivityUnit& unit = units[i];
    for (; at < unit.block; ++at) stream.pass(Block(spec, at, weights), at);
    BudgetUnit row;
    for (const QuantModule* module : unit.modules) row.modules.push_back(module->name);
    for (const int bits : unit.bits) {
      double loss = 0;
      if (unit.bits.size() > 1) {  // a unit without a choice needs no measurement
        HiddenStream copy = stream;
        copy.pass(Block(spec, unit.block, weights, rounded(unit, bits, weights)), unit.block);
        finish(copy, unit.block + 1);
        loss = std::max(0.0, compare_predictions(head, reference, head, copy, ids, spec.vocab).kl);
      }
      row.choices.push_back({bits, size_of(unit, bits), loss});
    }
    result.push_back(std::move(row));
  }
  return result;
}

}  // namespace attar
