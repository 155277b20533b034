#include "distill/encoders.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>

#include "compress/architecture/new_head.h"
#include "compress/base/error.h"
#include "compress/base/random.h"
#include "compress/data/document_readers.h"
#include "compress/training/text_objective.h"
#include "distill/distill_loss.h"
#include "distill/finish.h"

namespace attar::distill {
namespace {

TextData load_texts_of(StageContext& context, const TrainingOptions& options,
                       const OpenedModel& model, const TextUse& use) {
  TextData data = load_text_data(context.recipe, options, model, use, context.seed);
  note_cut_texts(options.data, data.dropped_tokens, data.window, context.report);
  return data;
}

const TextSet* validation_of(const TextData& data) {
  return data.validation ? &*data.validation : nullptr;
}

/// The input model with a new head for the labels of the data.
Model with_labels_of_data(StageContext& context, const TrainOptions& options) {
  const DataSpec& data = *context.recipe.find_data(options.training.data);
  const auto labels = distinct_labels(load_labelled(data, true, context.seed));
  std::vector<std::string> made;
  Model model = open_with_labels(context.input, labels, Random(context.seed).next(), made);
  context.report.facts["labels"] = labels;
  context.report.facts["new_layers"] = made;
  return model;
}

/// The teacher's place in an objective: its model and the texts as it reads them.
TextObjective::Teacher teacher_of(std::optional<TrainableModel>& model, const TextSet* texts) {
  if (!model || texts == nullptr) return {};
  return {&*model, texts};
}

void require_same_outputs(const OpenedModel& student, const OpenedModel& teacher) {
  const ModelSpec &s = student.model.spec, &t = teacher.model.spec;
  const std::string where = teacher.model.path.string();
  if (s.task != t.task)
    throw bad_input("the teacher of an encoder must be one of its kind", where,
                    s.task == Task::embed ? "an embedder" : "a classifier");
  if (s.task == Task::classify && s.labels != t.labels)
    throw bad_input(fmt::format("the teacher has the labels {}, the student {}",
                                fmt::join(t.labels, ", "), fmt::join(s.labels, ", ")),
                    where, "teacher and student must have the same labels in the same order");
  if (s.task == Task::embed && s.hidden != t.hidden)
    throw bad_input(
        fmt::format("the teacher's vectors have {} numbers, the student's {}", t.hidden, s.hidden),
        where, "prune layers or inner widths, which leave the vectors' width");
}

}  // namespace

void train_encoder(StageContext& context, const TrainOptions& options, OpenedModel opened) {
  if (options.labels == "data") opened.model = with_labels_of_data(context, options);
  const ModelSpec& spec = opened.model.spec;
  require_single_label(spec);
  const TextData data = load_texts_of(context, options.training, opened, use_without_teacher(spec));
  TrainableModel model(spec, precision(options.training), Weights::trained);
  model.load(*opened.model.weights);
  const CrossEntropy loss;
  const auto objective = objective_without_teacher(model, data, loss, options.training.batch);
  const TrainingRun run = run_of(context, options.training, model, *objective);
  finish(context, run, train(run), opened.model.config, context.input);
}

void distill_encoder(StageContext& context, DistillOptions options, const OpenedModel& student) {
  if (options.teacher_top_k)
    throw bad_input("only the distributions of models that write text are kept",
                    context.spec.where + ".teacher_top_k", "leave it out");
  const OpenedModel teacher = open_for_training(context.model_of(options.teacher));
  require_same_outputs(student, teacher);
  require_single_label(student.model.spec);
  const bool vectors = student.model.spec.task == Task::embed;
  const std::string loss_key = context.spec.where + ".loss";
  if (vectors && !context.spec.options["loss"].defined())
    options.loss = DistillOptions::usual_vector_loss();
  const DistillLoss loss(options);
  loss.require_fit(vectors, loss_key);
  const DataSpec& spec = *context.recipe.find_data(options.training.data);
  if (data_format(spec) == "ids") compare_vocabularies(student, teacher, context);

  TextUse use;
  if (!vectors && loss.needs_label()) use.labels = TextUse::Labels::optional;
  const TextData data = load_texts_of(context, options.training, student, use);
  for (const TextSet* set : {&data.train, validation_of(data)})
    if (set != nullptr && loss.needs_label() && set->labels.empty())
      throw bad_input("the loss 'ce' needs labels, and the data have none", loss_key,
                      "learn from the teacher alone: loss: {kl: 1}");
  TrainableModel model(student.model.spec, precision(options.training), Weights::trained);
  model.load(*student.model.weights);
  std::optional<TrainableModel> teacher_model;
  TextData taught;
  if (loss.needs_teacher()) {
    TrainingOptions as_teacher = options.training;
    as_teacher.window = std::min(data.window, teacher.model.spec.max_positions);
    taught = load_texts_of(context, as_teacher, teacher, {});
    teacher_model.emplace(teacher.model.spec, precision(options.training), Weights::frozen);
    teacher_model->load(*teacher.model.weights);
  }
  TextObjective objective(model, data.train, loss, teacher_of(teacher_model, &taught.train),
                          validation_of(data), teacher_of(teacher_model, validation_of(taught)));
  const TrainingRun run = run_of(context, options.training, model, objective);
  const TrainingResult result = train(run);
  teacher_model.reset();
  finish(context, run, result, student.model.config, context.input);
}

}  // namespace attar::distill
