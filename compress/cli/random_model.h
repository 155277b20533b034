// A model directory with random weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "compress/architecture/model_spec.h"

namespace attar::cli {

/// Writes config.json and weights of the published form and the configured float type into
/// `directory`, which exists. Side files (tokenizer …) come from `side_files`, when not empty.
/// Returns the spec. Throws bad_input for a configuration that is wrong.
ModelSpec write_random_model(const nlohmann::ordered_json& config,
                             const std::filesystem::path& directory,
                             const std::filesystem::path& side_files, uint64_t seed);

}  // namespace attar::cli
