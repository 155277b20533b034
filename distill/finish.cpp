#include "distill/finish.h"

#include <fmt/format.h>

#include "compress/base/error.h"
#include "compress/training/emit.h"
#include "compress/training/estimate.h"

namespace attar::distill {

TrainingRun run_of(const StageContext& context, const TrainingOptions& options,
                   TrainableModel& model, Objective& objective) {
  return {.model = model,
          .objective = objective,
          .options = options,
          .seed = context.seed,
          .threads = context.threads,
          .scratch = context.scratch,
          .label = context.spec.name};
}

void finish(StageContext& context, const TrainingRun& run, const TrainingResult& result,
            const nlohmann::ordered_json& config, const std::filesystem::path& side_files) {
  StageReport& report = context.report;
  const DType dtype = output_dtype(run.options.output_dtype, config_dtype(config));
  report.facts.update(training_facts(run, result));
  report.facts["output_dtype"] = torch_dtype_name(dtype);
  report.curves = result.curves;
  if (result.resumed_from && result.resumed_threads != run.threads)
    report.fallbacks.push_back({"bytes may differ from an uninterrupted run", context.spec.name,
                                fmt::format("resumed with {} threads, begun with {}", run.threads,
                                            result.resumed_threads)});
  const ReadBack check =
      emit(run.model, config, dtype, context.output / "model", side_files, run.objective.probe());
  report.checks.push_back({"model read back", check.passed, check.detail});
}

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
      {"tokenizers were not compared", where, "teacher or student has no tokenizer files"});
}

}  // namespace attar::distill
