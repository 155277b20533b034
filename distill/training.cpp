#include "distill/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "compress/architecture/family.h"
#include "compress/base/random.h"
#include "compress/model/torch_compat.h"
#include "compress/tokenizer/bpe_trainer.h"
#include "compress/training/estimate.h"
#include "compress/training/language.h"
#include "compress/training/setup.h"
#include "distill/distill_loss.h"
#include "distill/encoders.h"
#include "distill/finish.h"
#include "distill/kept_teacher.h"
#include "distill/options.h"

namespace attar {
namespace {

using distill::DistillOptions;
using distill::TrainOptions;

/// From scratch: where the tokenizer's files lie once made or copied.
fs::path prepare_tokenizer(const StageContext& context, const TrainOptions& options) {
  const fs::path directory = context.scratch / "tokenizer";
  fs::create_directories(directory);
  if (options.tokenizer->path) {
    const fs::path from = context.recipe.file.parent_path() / *options.tokenizer->path;
    if (!fs::exists(from / "tokenizer.json"))
      throw bad_input("no tokenizer.json there", from.string(),
                      "tokenizer.path is a model directory");
    copy_side_files(from, directory);
    return directory;
  }
  const DataSpec* data = context.recipe.find_data(options.training.data);
  BpeTrainerOptions trainer;
  trainer.vocab_size = *options.tokenizer->vocab_size;
  write_file(directory / "tokenizer.json",
             train_byte_level_bpe(load_documents(*data), trainer).dump(1));
  write_file(directory / "tokenizer_config.json", trained_tokenizer_config(trainer).dump(1));
  return directory;
}

/// What `train` starts from.
struct Start {
  nlohmann::ordered_json config;
  ModelSpec spec;
  std::shared_ptr<const Tokenizer> tokenizer;
  fs::path side_files;
  std::shared_ptr<const WeightSource> weights;  // null: from scratch
};

Start from_scratch(const StageContext& context, const TrainOptions& options) {
  Start start;
  start.side_files = prepare_tokenizer(context, options);
  start.tokenizer = Tokenizer::load(start.side_files);
  const auto bos = start.tokenizer->bos(), eos = start.tokenizer->eos();
  if (!eos)
    throw bad_input("the tokenizer has no end token", start.side_files.string(),
                    "tokenizer_config.json names it as eos_token");
  start.config =
      llama_config(distill::llama_shape(*options.architecture, start.tokenizer->vocab_size()),
                   bos.value_or(*eos), *eos);
  start.spec = read_model_spec(start.config, "config.json");
  return start;
}

OpenedModel open_input(const StageContext& context) {
  if (context.input.empty())
    throw bad_input("there is no model to continue", context.spec.where,
                    "give 'model' in the recipe, or 'architecture' to start from scratch");
  return open_for_training(context.input);
}

void train_language_model(StageContext& context, const TrainOptions& options, const Start& start) {
  const TrainingData data =
      load_training_data(context.recipe, options.training, start.tokenizer.get(), start.spec,
                         training_window(options.training, start.spec.max_positions), context.seed);
  TrainableModel model(start.spec, precision(options.training), Weights::trained);
  if (start.weights)
    model.load(*start.weights);
  else
    model.initialize(Random(context.seed).next());
  const CrossEntropy loss;
  LanguageObjective objective(model, data.train, data.validation ? &*data.validation : nullptr,
                              loss, nullptr);
  const TrainingRun run = distill::run_of(context, options.training, model, objective);
  distill::finish(context, run, train(run), start.config, start.side_files);
}

void train_model(StageContext& context) {
  const auto options = context.options<TrainOptions>();
  if (options.architecture)
    return train_language_model(context, options, from_scratch(context, options));
  OpenedModel opened = open_input(context);
  const Model& model = opened.model;
  if (model.spec.task != Task::causal_lm)
    return distill::train_encoder(context, options, std::move(opened));
  if (options.labels == "data")
    throw bad_input("labels are for classifiers, and the model writes text",
                    context.spec.where + ".labels");
  train_language_model(context, options,
                       {model.config, model.spec, opened.tokenizer, context.input, model.weights});
}

void distill_model(StageContext& context) {
  const auto options = context.options<DistillOptions>();
  const OpenedModel student = open_for_training(context.input);
  if (student.model.spec.task != Task::causal_lm)
    return distill::distill_encoder(context, options, student);
  const OpenedModel teacher = open_for_training(context.model_of(options.teacher));
  distill::compare_vocabularies(student, teacher, context);
  const int64_t positions =
      std::min(student.model.spec.max_positions, teacher.model.spec.max_positions);
  const int64_t window = training_window(options.training, positions);
  if (window > positions)
    throw bad_input(fmt::format("a window of {} is longer than the {} positions that teacher and "
                                "student share",
                                window, positions),
                    context.spec.where + ".window");
  const TrainingData data =
      load_training_data(context.recipe, options.training, student.tokenizer.get(),
                         student.model.spec, window, context.seed);
  const distill::DistillLoss loss(options);
  loss.require_fit(false, context.spec.where + ".loss");
  std::unique_ptr<const DistributionStore> kept;
  if (options.teacher_top_k) kept = distill::keep_teacher(context, options, teacher, data.train);
  TrainableModel model(student.model.spec, precision(options.training), Weights::trained);
  model.load(*student.model.weights);
  std::optional<TrainableModel> teacher_model;
  if (loss.needs_teacher() && !kept) {
    teacher_model.emplace(teacher.model.spec, precision(options.training), Weights::frozen);
    teacher_model->load(*teacher.model.weights);
  }
  LanguageObjective objective(model, data.train, data.validation ? &*data.validation : nullptr,
                              loss, teacher_model ? &*teacher_model : nullptr, kept.get());
  const TrainingRun run = distill::run_of(context, options.training, model, objective);
  const TrainingResult result = train(run);
  teacher_model.reset();
  distill::finish(context, run, result, student.model.config, context.input);
}

}  // namespace

void run_train(StageContext& context) {
  prepare_torch(context.threads);
  with_torch_errors([&] { train_model(context); });
}

void run_distill(StageContext& context) {
  prepare_torch(context.threads);
  with_torch_errors([&] { distill_model(context); });
}

}  // namespace attar
