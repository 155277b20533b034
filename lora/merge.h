// Folding an adapter into its base: W' = W + s · B A, tensor by tensor, without LibTorch.
#pragma once

#include <filesystem>
#include <string>

#include "compress/architecture/model.h"
#include "compress/pipeline/stage.h"

namespace attar::lora {

/// Writes `base` with `adapter` (a PEFT directory) folded in to `directory`/… and reads it back;
/// weights are rounded to `dtype`. Throws bad_input when the adapter does not fit.
Check write_merged(const Model& base, const std::filesystem::path& adapter, DType dtype,
                   const std::filesystem::path& directory);

/// The stage `merge`.
void run_merge(StageContext& context);

/// An adapter option with a '/' is a path; without, the name of a stage.
inline bool is_path(const std::string& adapter) {
  return adapter.find('/') != std::string::npos;
}

}  // namespace attar::lora
