#include "distill/stage.h"

#include <filesystem>

#include "compress/architecture/family.h"
#include "compress/training/estimate.h"
#include "distill/options.h"

namespace attar {
namespace {

using distill::DistillOptions;
using distill::TrainOptions;

/// Parses, adds the checks across fields, and dumps.
template <class Options>
nlohmann::ordered_json resolve(const Node& node, Problems& problems) {
  const auto options = parse_options<Options>(node, problems, kStageKeys);
  options.check(node, problems);
  return dump_options(options);
}

template <class Options>
Options parsed(const Node& node) {
  Problems ignored;  // validation has reported them
  return parse_options<Options>(node, ignored, kStageKeys);
}

void training_data(const TrainingOptions& training, std::vector<std::string>& data) {
  data.push_back(training.data);
  if (training.validation) data.push_back(*training.validation);
}

void train_references(const Node& node, std::vector<std::string>& data,
                      std::vector<std::string>& stages) {
  const auto options = parsed<TrainOptions>(node);
  training_data(options.training, data);
  if (options.tokenizer && options.tokenizer->path) {
    const std::string& path = *options.tokenizer->path;
    stages.push_back(path.find('/') == std::string::npos ? "./" + path : path);  // a directory
  }
}

void distill_references(const Node& node, std::vector<std::string>& data,
                        std::vector<std::string>& stages) {
  const auto options = parsed<DistillOptions>(node);
  training_data(options.training, data);
  stages.push_back(options.teacher);
}

int64_t data_bytes(const Recipe& recipe, const std::string& name) {
  const DataSpec* data = recipe.find_data(name);
  if (!data || !std::filesystem::exists(data->path)) return 0;
  return static_cast<int64_t>(static_cast<double>(bytes_on_disk(data->path)) *
                              data->take.value_or(1.0));
}

StageEstimate estimate(const TrainingOptions& training, nlohmann::ordered_json config,
                       const ModelSpec* teacher, const Recipe& recipe) {
  const ModelSpec spec = read_model_spec(config, "config.json");
  StageEstimate result;
  result.parameters = spec.parameters();
  const DType dtype = output_dtype(training.output_dtype, config_dtype(config));
  result.bytes = static_cast<uint64_t>(result.parameters) * dtype_size(dtype);
  const TrainingCost cost = estimate_training(
      training, {spec, result.parameters, teacher, data_bytes(recipe, training.data)});
  result.peak_bytes = cost.peak_bytes;
  result.seconds = cost.seconds;
  result.notes = cost.notes;
  set_config_dtype(config, dtype);
  result.config = std::move(config);
  return result;
}

StageEstimate train_estimate(const StageSpec& spec, const Recipe& recipe,
                             const EstimateInput& input) {
  const auto options = parsed<TrainOptions>(spec.options);
  nlohmann::ordered_json config = input.config;
  if (options.architecture)
    config = llama_config(
        distill::llama_shape(*options.architecture, options.tokenizer->vocab_size.value_or(4096)),
        0, 1);
  StageEstimate result = estimate(options.training, std::move(config), nullptr, recipe);
  if (options.architecture && options.tokenizer->path)
    result.notes.push_back("the vocabulary of '" + *options.tokenizer->path +
                           "' is counted as 4096 ids");
  return result;
}

StageEstimate distill_estimate(const StageSpec& spec, const Recipe& recipe,
                               const EstimateInput& input) {
  const auto options = parsed<DistillOptions>(spec.options);
  const ModelSpec student = read_model_spec(input.config, "config.json");
  StageEstimate result =
      estimate(options.training, input.config, options.teacher_top_k ? nullptr : &student, recipe);
  result.notes.push_back(options.teacher_top_k
                             ? "the teacher is run once before training, which is not counted"
                             : "the teacher is counted as large as the student");
  return result;
}

}  // namespace

StageType train_stage() {
  return {.name = "train",
          .summary = "train by next-token cross-entropy, from scratch or from the input model",
          .trains = true,
          .needs_model = false,
          .describe = describe_options<TrainOptions>,
          .resolve = resolve<TrainOptions>,
          .references = train_references,
          .estimate = train_estimate,
          .run = nullptr};
}

StageType distill_stage() {
  return {.name = "distill",
          .summary = "train the input model towards a teacher's distribution",
          .trains = true,
          .needs_model = true,
          .describe = describe_options<DistillOptions>,
          .resolve = resolve<DistillOptions>,
          .references = distill_references,
          .estimate = distill_estimate,
          .run = nullptr};
}

}  // namespace attar
