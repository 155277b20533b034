#include "lora/stage.h"

#include <algorithm>
#include <filesystem>

#include "compress/architecture/family.h"
#include "compress/training/estimate.h"
#include "lora/merge.h"
#include "lora/options.h"
#include "lora/targets.h"

namespace attar {
namespace {

using lora::LoraOptions;
using lora::MergeOptions;

template <class Options>
Options parsed(const Node& node) {
  Problems ignored;  // validation has reported them
  return parse_options<Options>(node, ignored, kStageKeys);
}

nlohmann::ordered_json resolve_lora(const Node& node, Problems& problems) {
  const auto options = parse_options<LoraOptions>(node, problems, kStageKeys);
  options.training.check(node, problems);
  return dump_options(options);
}

void lora_references(const Node& node, std::vector<std::string>& data, std::vector<std::string>&) {
  const auto options = parsed<LoraOptions>(node);
  data.push_back(options.training.data);
  if (options.training.validation) data.push_back(*options.training.validation);
}

void merge_references(const Node& node, std::vector<std::string>&,
                      std::vector<std::string>& stages) {
  const std::string adapter = parsed<MergeOptions>(node).adapter;
  if (!adapter.empty()) stages.push_back(adapter);
}

StageEstimate lora_estimate(const StageSpec& stage, const Recipe& recipe,
                            const EstimateInput& input) {
  const auto options = parsed<LoraOptions>(stage.options);
  const ModelSpec spec = read_model_spec(input.config, "config.json");
  const int64_t trainable =
      lora::adapter_parameters(lora::select_targets(spec, options.targets), options.rank);
  const DataSpec* data = recipe.find_data(options.training.data);
  const auto bytes = data && std::filesystem::exists(data->path) ? bytes_on_disk(data->path) : 0;
  const TrainingCost cost =
      estimate_training(options.training, {spec, trainable, nullptr, static_cast<int64_t>(bytes)});
  StageEstimate result;
  result.config = input.config;
  result.parameters = spec.parameters();
  const DType dtype = output_dtype(options.training.output_dtype, config_dtype(input.config));
  result.bytes = static_cast<uint64_t>(result.parameters) * dtype_size(dtype);
  result.peak_bytes = cost.peak_bytes;
  result.seconds = cost.seconds;
  result.notes = cost.notes;
  result.notes.push_back(std::to_string(trainable) + " parameters are trained");
  set_config_dtype(result.config, dtype);
  return result;
}

StageEstimate merge_estimate(const StageSpec& stage, const Recipe&, const EstimateInput& input) {
  const auto options = parsed<MergeOptions>(stage.options);
  StageEstimate result;
  result.config = input.config;
  result.parameters = input.parameters;
  const DType dtype = output_dtype(options.output_dtype, config_dtype(input.config));
  result.bytes = static_cast<uint64_t>(input.parameters) * dtype_size(dtype);
  result.peak_bytes = uint64_t{1} << 27;  // one tensor at a time
  result.seconds = static_cast<double>(result.bytes) / 2e8;
  set_config_dtype(result.config, dtype);
  return result;
}

}  // namespace

StageType lora_stage() {
  return {.name = "lora",
          .summary = "train low-rank adapters on the input model (LoRA, QLoRA)",
          .trains = true,
          .needs_model = true,
          .describe = describe_options<LoraOptions>,
          .resolve = resolve_lora,
          .references = lora_references,
          .estimate = lora_estimate,
          .run = nullptr};
}

StageType merge_stage() {
  return {.name = "merge",
          .summary = "fold a PEFT adapter into the input model",
          .trains = false,
          .needs_model = true,
          .describe = describe_options<MergeOptions>,
          .resolve = resolve_options<MergeOptions>,
          .references = merge_references,
          .estimate = merge_estimate,
          .run = lora::run_merge};
}

}  // namespace attar
