// Runs an exported model beside the one it was made from.
#pragma once

#include <filesystem>

#include "compress/architecture/model.h"
#include "compress/pipeline/stage.h"

namespace attar {

/// KL divergence (nats, mean over positions) and the largest difference of logits on a short fixed
/// sequence of ids; passes when all is finite and KL is at most `max_kl`.
Check probe_exported(const Model& model, const std::filesystem::path& written, double max_kl);

}  // namespace attar
