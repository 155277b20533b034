#include "distill/training.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "compress/architecture/family.h"
#include "compress/base/random.h"
#include "compress/model/torch_compat.h"
#include "compress/tokenizer/bpe_trainer.h"
#include "compress/training/emit.h"
#include "compress/training/estimate.h"
#include "compress/training/setup.h"
#include "distill/distill_loss.h"
#include "distill/options.h"

namespace attar {
namespace {

using distill::DistillOptions;
using distill::TrainOptions;

/// Writes what was trained and enters the stage's rows into its report.
void finish(StageContext& context, const TrainingRun& run, const TrainingResult& result,
            const nlohmann::ordered_json& config, const fs::path& side_files) {
  StageReport& report = context.report;
  const DType dtype = output_dtype(run.options.output_dtype, config_dtype(config));
  report.facts.update(training_facts(run, result));
  report.facts["output_dtype"] = torch_dtype_name(dtype);
  report.curves = result.curves;
  if (result.resumed_from && result.resumed_threads != run.threads)
    report.fallbacks.push_back({"bytes may differ from an uninterrupted run", context.spec.name,
                                fmt::format("resumed with {} threads, begun with {}", run.threads,
                                            result.resumed_threads)});
  const at::Tensor ids = probe_ids(run.windows.ids, run.windows.window, 2);
  const ReadBack check = emit(run.model, config, dtype, context.output / "model", side_files, ids);
  report.checks.push_back({"model read back", check.passed, check.detail});
}

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

Start from_input(const StageContext& context) {
  if (context.input.empty())
    throw bad_input("there is no model to continue", context.spec.where,
                    "give 'model' in the recipe, or 'architecture' to start from scratch");
  OpenedModel opened = open_for_training(context.input);
  Model& model = opened.model;
  return {model.config, model.spec, opened.tokenizer, context.input, model.weights};
}

void train_model(StageContext& context) {
  const auto options = context.options<TrainOptions>();
  const Start start = options.architecture ? from_scratch(context, options) : from_input(context);
  const TrainingData data =
      load_training_data(context.recipe, options.training, start.tokenizer.get(), start.spec,
                         training_window(options.training, start.spec.max_positions), context.seed);
  TrainableModel model(start.spec, precision(options.training), Weights::trained);
  if (start.weights)
    model.load(*start.weights);
  else
    model.initialize(Random(context.seed).next());
  const CrossEntropy loss;
  const TrainingRun run{.model = model,
                        .windows = data.train,
                        .validation = data.validation ? &*data.validation : nullptr,
                        .loss = loss,
                        .teacher = nullptr,
                        .options = options.training,
                        .seed = context.seed,
                        .threads = context.threads,
                        .scratch = context.scratch,
                        .label = context.spec.name};
  finish(context, run, train(run), start.config, start.side_files);
}

/// The same ids must mean the same tokens, or the teacher's distribution means nothing.
void compare_vocabularies(const OpenedModel& student, const OpenedModel& teacher,
                          StageContext& context) {
  const std::string where = teacher.model.path.string();
  if (student.model.spec.vocab != teacher.model.spec.vocab)
    throw bad_input(fmt::format("the teacher has {} ids, the student {}", teacher.model.spec.vocab,
                                student.model.spec.vocab),
                    where, "teacher and student must share a tokenizer");
  if (student.tokenizer && teacher.tokenizer) {
    if (student.tokenizer->hash() != teacher.tokenizer->hash())
      throw bad_input("teacher and student have different tokenizers", where,
                      "the same id would mean different tokens");
    return;
  }
  context.report.fallbacks.push_back(
      {"tokenizers were not compared", where, "teacher or student has no tokenizer.json"});
}

void distill_model(StageContext& context) {
  const auto options = context.options<DistillOptions>();
  const OpenedModel student = open_for_training(context.input);
  const OpenedModel teacher = open_for_training(context.model_of(options.teacher));
  compare_vocabularies(student, teacher, context);
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
  TrainableModel model(student.model.spec, precision(options.training), Weights::trained);
  model.load(*student.model.weights);
  std::optional<TrainableModel> teacher_model;
  if (loss.needs_teacher()) {
    teacher_model.emplace(teacher.model.spec, precision(options.training), Weights::frozen);
    teacher_model->load(*teacher.model.weights);
  }
  const TrainingRun run{.model = model,
                        .windows = data.train,
                        .validation = data.validation ? &*data.validation : nullptr,
                        .loss = loss,
                        .teacher = teacher_model ? &*teacher_model : nullptr,
                        .options = options.training,
                        .seed = context.seed,
                        .threads = context.threads,
                        .scratch = context.scratch,
                        .label = context.spec.name};
  const TrainingResult result = train(run);
  teacher_model.reset();
  finish(context, run, result, student.model.config, context.input);
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
