#include "prune/estimate.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "compress/architecture/family.h"
#include "compress/pipeline/calibration.h"
#include "prune/options.h"
#include "prune/plan.h"

namespace attar {

StageEstimate estimate_prune(const StageSpec& stage, const Recipe& recipe,
                             const EstimateInput& input) {
  Problems problems;
  const auto options = parse_options<PruneOptions>(stage.options, problems, kStageKeys);
  problems.throw_if_any();
  const ModelSpec spec = read_model_spec(input.config, stage.where);
  const KeptCounts counts = kept_counts(spec, options, stage.where);
  // Which layers go is not known yet; any choice has the same size.
  std::vector<int64_t> layers(static_cast<size_t>(counts.layers));
  std::iota(layers.begin(), layers.end(), 0);

  StageEstimate estimate;
  estimate.config = pruned_config(input.config, spec, counts, layers);
  const ModelSpec pruned = read_model_spec(estimate.config, stage.where);
  estimate.parameters = pruned.parameters();
  estimate.bytes =
      static_cast<uint64_t>(estimate.parameters) * dtype_size(stored_dtype(input.config));

  uint64_t block = 0;  // weights of the largest one
  double weights = 0;  // of all
  for (const BlockSpec& one : spec.blocks) {
    uint64_t mine = 0;
    for (const auto& [name, linear] : one.linears())
      mine += static_cast<uint64_t>(linear->out * linear->in);
    block = std::max(block, mine);
    weights += static_cast<double>(mine);
  }
  const auto hidden = static_cast<uint64_t>(spec.hidden), vocab = static_cast<uint64_t>(spec.vocab);
  const DataSpec* data = recipe.find_data(options.data);
  uint64_t tokens = 0, window = 0;
  if (data != nullptr) {
    window = static_cast<uint64_t>(calibration_window(*data, spec.max_positions));
    tokens = window * static_cast<uint64_t>(data->samples.value_or(kCalibrationWindows));
  }
  estimate.peak_bytes = block * 8 + tokens * hidden * 4 + (vocab * hidden + 4 * window * vocab) * 4;
  constexpr double kFlopsPerSecond = 2e11, kBytesPerSecond = 5e8;
  estimate.seconds = 4 * weights * static_cast<double>(tokens) / kFlopsPerSecond +
                     static_cast<double>(input.bytes) / kBytesPerSecond;
  for (const auto& [width, kept] : counts.ffn)
    if (kept % 32 != 0)
      estimate.notes.push_back(fmt::format(
          "down_proj gets {} columns, no multiple of 32: group-wise quantization will not fit",
          kept));
  return estimate;
}

}  // namespace attar
