// Ids that end a text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "compress/architecture/model_spec.h"

namespace attar {

/// config.json's and, where present, generation_config.json's. bad_input when the latter is no
/// JSON.
std::vector<int32_t> end_ids(const std::filesystem::path& directory, const ModelSpec& spec);

}  // namespace attar
