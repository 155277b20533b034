// Everything that can be known to be wrong before a run starts and writes anything.
#pragma once

#include <vector>

#include "compress/pipeline/cache.h"
#include "compress/pipeline/plan.h"
#include "compress/pipeline/runner.h"

namespace attar {

/// The stages up to `until` (all of them when it is empty); bad_input for an unknown name.
std::vector<const StageSpec*> chosen_stages(const Recipe& recipe, const std::string& until);

/// Throws bad_input for a model with missing, misshapen or non-finite weights, a tokenizer that
/// does not fit it, data that can't be read, an output that can't be written, too little disk or
/// memory. Returns notes for the report.
std::vector<std::string> preflight(const Recipe& recipe, const Toolbox& tools,
                                   const std::vector<const StageSpec*>& stages, FileHashes& hashes,
                                   CacheKeys& keys);

}  // namespace attar
