// What a sentence embedder's directory says beside config.json, as the sentence-transformers
// library writes it: modules.json lists Transformer, Pooling and Normalize, 1_Pooling/config.json
// names the pooling, sentence_bert_config.json the longest text.
#pragma once

#include <cstdint>
#include <optional>

#include "compress/architecture/model_spec.h"
#include "compress/base/files.h"

namespace attar {

/// Puts pooling and normalization into the spec of an embedder; a directory without these files
/// changes nothing. bad_input: a module or a pooling that is not supported (both would give other
/// vectors), a damaged file.
void read_sentence_modules(const fs::path& directory, ModelSpec& spec);

/// How many ids of a text the model was made for: max_seq_length of sentence_bert_config.json where
/// it is smaller than the model's positions.
int64_t longest_text(const fs::path& directory, const ModelSpec& spec);

}  // namespace attar
