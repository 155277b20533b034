// What Gemma 2 and 3 share: (1 + w) norms before and after each half of a block, embeddings times
// √hidden, scores scaled by a key of their own.
#pragma once

#include "compress/architecture/decoder.h"

namespace attar {

/// Everything but windows, soft caps, norms of q and k, and rotary embedding.
DecoderFields read_gemma(const ConfigReader& config, std::string family);

/// A soft cap: 0 when `key` is null, `fallback` when it is absent. `json` is what config reads,
/// without defaults.
float read_softcap(const ConfigReader& config, const nlohmann::ordered_json& json, const char* key,
                   float fallback);

}  // namespace attar
