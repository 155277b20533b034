// Writes a model in a GGUF scheme and reads it back.
#pragma once

#include <filesystem>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/pipeline/gguf/write.h"
#include "quantize/checkpoint.h"
#include "quantize/modules.h"

namespace attar {

/// Writes the file `path`: rows of `modules` from the checkpoint's parts, everything else from
/// `model`, encoded with `importance`. Checks, fallbacks and rows of what it encoded go to
/// `report`; matrices that are not what was computed fail a check.
void emit_gguf(const Model& model, const gguf_export::Mixture& mixture,
               const gguf_export::Importance& importance, const std::vector<QuantModule>& modules,
               const QuantizeCheckpoint& checkpoint, const std::filesystem::path& path,
               StageReport& report);

}  // namespace attar
