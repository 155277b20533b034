// What the stages that train have in common at their beginning and end.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "compress/pipeline/stage.h"
#include "compress/training/setup.h"

namespace attar::distill {

/// A stage's run, with its seed, threads and checkpoints.
TrainingRun run_of(const StageContext& context, const TrainingOptions& options,
                   TrainableModel& model, Objective& objective);

/// Writes what was trained (`config` and the files of `side_files` go along) and enters the stage's
/// rows into its report.
void finish(StageContext& context, const TrainingRun& run, const TrainingResult& result,
            const nlohmann::ordered_json& config, const std::filesystem::path& side_files);

/// The same ids must mean the same tokens, or the teacher's answers mean nothing: bad_input
/// otherwise, a fallback where there is nothing to compare.
void compare_vocabularies(const OpenedModel& student, const OpenedModel& teacher,
                          StageContext& context);

}  // namespace attar::distill
