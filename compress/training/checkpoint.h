// What a killed training needs to go on to the same bytes: parameters, both moments, the step (from
// which the learning rate, the data's order and dropout's masks follow) and the curves so far.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "compress/model/parameters.h"
#include "compress/training/adamw.h"

namespace attar {

struct TrainingState {
  int64_t step = 0;                 // finished steps
  int threads = 0;                  // that made it
  nlohmann::ordered_json progress;  // curves and sums so far
};

/// Replaces `file` atomically. Throws failure (disk full …).
void save_checkpoint(const std::filesystem::path& file, const ParameterStore& store,
                     const AdamW& optimizer, const TrainingState& state);

/// Restores store and optimizer; nothing when there is no file. Throws bad_input when the file is
/// damaged or of another model.
std::optional<TrainingState> load_checkpoint(const std::filesystem::path& file,
                                             ParameterStore& store, AdamW& optimizer);

}  // namespace attar
