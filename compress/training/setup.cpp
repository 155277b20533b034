#include "compress/training/setup.h"

#include <fmt/format.h>

#include "compress/training/estimate.h"

namespace attar {
namespace {

const DataSpec& find_data(const Recipe& recipe, const std::string& name) {
  if (const DataSpec* data = recipe.find_data(name)) return *data;
  throw bad_input("no data entry is called '" + name + "'", recipe.file.string());
}

}  // namespace

OpenedModel open_for_training(const std::filesystem::path& path) {
  return {open_model(path), Tokenizer::find(path)};
}

TrainingData load_training_data(const Recipe& recipe, const TrainingOptions& options,
                                const Tokenizer* tokenizer, const ModelSpec& spec, int64_t window,
                                uint64_t seed) {
  if (window > spec.max_positions)
    throw bad_input(fmt::format("a window of {} is longer than the model's {} positions", window,
                                spec.max_positions),
                    "window", "shorten it");
  const DataSpec& data = find_data(recipe, options.data);
  TrainingData loaded;
  loaded.train = training_windows(data, tokenizer, window, spec.vocab);
  if (options.validation)
    loaded.validation = evaluation_windows(find_data(recipe, *options.validation), tokenizer,
                                           window, spec.vocab, seed);
  return loaded;
}

TextData load_text_data(const Recipe& recipe, const TrainingOptions& options,
                        const OpenedModel& model, const TextUse& use, uint64_t seed) {
  const ModelSpec& spec = model.model.spec;
  TextData loaded;
  loaded.window = training_window(options, spec.max_positions);
  if (loaded.window > spec.max_positions)
    throw bad_input(fmt::format("texts of {} ids are longer than the model's {} positions",
                                loaded.window, spec.max_positions),
                    "window", "shorten it");
  const auto load = [&](const std::string& name) {
    TextSet set = load_text_set(find_data(recipe, name), model.tokenizer.get(), spec.labels, use,
                                loaded.window, spec.vocab, seed);
    loaded.dropped_tokens += set.texts.facts.dropped_tokens + set.partners.facts.dropped_tokens;
    return set;
  };
  loaded.train = load(options.data);
  if (options.validation) loaded.validation = load(*options.validation);
  return loaded;
}

void require_single_label(const ModelSpec& spec) {
  if (spec.task == Task::classify && spec.label_scores != LabelScores::softmax)
    throw bad_input("only classifiers whose labels exclude each other are trained",
                    "config.json: problem_type", "single_label_classification");
}

TextUse use_without_teacher(const ModelSpec& spec) {
  TextUse use;
  if (spec.task == Task::classify)
    use.labels = TextUse::Labels::required;
  else
    use.partners = true;
  return use;
}

std::unique_ptr<Objective> objective_without_teacher(TrainableModel& model, const TextData& data,
                                                     const RowLoss& loss, int64_t batch) {
  const TextSet* validation = data.validation ? &*data.validation : nullptr;
  if (model.spec().task == Task::embed)
    return std::make_unique<PairObjective>(model, data.train, validation, batch);
  return std::make_unique<TextObjective>(model, data.train, loss, TextObjective::Teacher{},
                                         validation, TextObjective::Teacher{});
}

nlohmann::ordered_json training_facts(const TrainingRun& run, const TrainingResult& result) {
  const int64_t parameters = run.model.trained().total();
  nlohmann::ordered_json facts = {
      {"steps", result.steps},
      {run.objective.unit(), result.terms},
      {"epochs", static_cast<double>(result.terms) /
                     static_cast<double>(run.objective.examples() * run.objective.terms())},
      {std::string(run.objective.unit()) + "_per_second", result.terms_per_second},
      {"first_loss", result.first_loss},
      {"last_loss", result.last_loss},
      {"trained_parameters", parameters},
      {"arithmetic", run.options.dtype},
      {"threads", run.threads},
      {"libtorch", torch_compat::version()}};
  if (result.validation_before) facts["validation_loss_before"] = *result.validation_before;
  if (result.validation_after) facts["validation_loss_after"] = *result.validation_after;
  if (result.resumed_from) facts["resumed_from_step"] = result.resumed_from;
  facts.update(run.objective.data_facts());
  return facts;
}

}  // namespace attar
