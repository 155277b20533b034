// Quantizes the linear layers that read one input: from weights and moments to codes and report
// rows.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "compress/formats/weights.h"
#include "compress/pipeline/stage.h"
#include "quantize/blocks.h"
#include "quantize/calibration.h"
#include "quantize/modules.h"
#include "quantize/options.h"

namespace attar {

/// What became of a block's layers (or the head).
struct QuantizedModules {
  std::map<std::string, QuantizedMatrix> matrices;  // by module
  std::map<std::string, BlockMatrix> blocks;        // … those of a GGUF scheme
  std::map<std::string, DenseTensor> dense;         // norms and biases that were rescaled
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  nlohmann::ordered_json foldings = nlohmann::ordered_json::array();  // what was rescaled, and how
  std::vector<Fallback> fallbacks;

  /// What takes the place of a module's weight, and of all modules'.
  Weight weight_of(const std::string& module) const;
  std::map<std::string, Weight> weights() const;
};

/// Quantizes `modules`, which all read the input of `moments` (null: no calibration data, rtn
/// only), into `result`. Throws bad_input for weights that are not finite or quantized already;
/// failure under `strict` when a layer had to fall back to rounding, and for a scale beyond its
/// type, naming the layer.
void quantize_modules(const std::vector<const QuantModule*>& modules, const InputMoments* moments,
                      const WeightSource& weights, const QuantizeOptions& options,
                      QuantizedModules& result);

}  // namespace attar
