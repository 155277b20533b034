#include "compress/training/setup.h"

#include <fmt/format.h>

#include "compress/training/estimate.h"

namespace attar {
namespace {

const DataSpec& find_data(const Recipe& recipe, const std::string& name) {
  if (const DataSpec* data = recipe.find_data(name)) return *data;
  throw bad_input("no data entry is called '" + name + "'", recipe.file.string());
}

nlohmann::ordered_json to_json(const DataFacts& facts) {
  return {{"source", facts.source},       {"documents", facts.documents},
          {"tokens", facts.tokens},       {"windows", facts.windows},
          {"window", facts.window},       {"dropped_tokens", facts.dropped_tokens},
          {"bos_added", facts.bos_added}, {"tokenizer_hash", facts.tokenizer_hash},
          {"sha256", facts.sha256}};
}

}  // namespace

OpenedModel open_for_training(const std::filesystem::path& path) {
  OpenedModel opened{open_model(path), nullptr};
  if (std::filesystem::exists(path / "tokenizer.json")) opened.tokenizer = Tokenizer::load(path);
  return opened;
}

TrainingData load_training_data(const Recipe& recipe, const TrainingOptions& options,
                                const Tokenizer* tokenizer, const ModelSpec& spec, int64_t window,
                                uint64_t seed) {
  if (window > spec.max_positions)
    throw bad_input(fmt::format("a window of {} is longer than the model's {} positions", window,
                                spec.max_positions),
                    "window", "shorten it");
  if (spec.task != Task::causal_lm)
    throw bad_input("stages that train know causal language models only",
                    "architecture " + spec.architecture,
                    "encoders can be run, pruned, quantized and evaluated");
  const DataSpec& data = find_data(recipe, options.data);
  TrainingData loaded;
  loaded.train = training_windows(data, tokenizer, window, spec.vocab);
  if (options.validation)
    loaded.validation = evaluation_windows(find_data(recipe, *options.validation), tokenizer,
                                           window, spec.vocab, seed);
  return loaded;
}

nlohmann::ordered_json training_facts(const TrainingRun& run, const TrainingResult& result) {
  const int64_t parameters = run.model.trained().total();
  nlohmann::ordered_json facts = {
      {"steps", result.steps},
      {"tokens", result.tokens},
      {"epochs", static_cast<double>(result.tokens) /
                     static_cast<double>(run.windows.count() * (run.windows.window - 1))},
      {"tokens_per_second", result.tokens_per_second},
      {"first_loss", result.first_loss},
      {"last_loss", result.last_loss},
      {"trained_parameters", parameters},
      {"arithmetic", run.options.dtype},
      {"threads", run.threads},
      {"libtorch", torch_compat::version()}};
  if (result.validation_before) facts["validation_loss_before"] = *result.validation_before;
  if (result.validation_after) facts["validation_loss_after"] = *result.validation_after;
  if (result.resumed_from) facts["resumed_from_step"] = result.resumed_from;
  facts["data"] = to_json(run.windows.facts);
  if (run.validation) facts["validation_data"] = to_json(run.validation->facts);
  return facts;
}

}  // namespace attar
