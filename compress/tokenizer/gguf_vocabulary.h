// The vocabulary that a GGUF file carries (tokenizer.ggml.*; ggml-org/ggml, docs/gguf.md).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compress/formats/gguf/metadata.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {

struct GgufVocabulary {
  std::string where;                 // the file, for messages
  std::string name;                  // of the model, "Phi-3.5-mini-instruct"
  std::string model;                 // "llama", "gpt2", "bert", "t5"
  std::string pre;                   // how a byte-level BPE cuts words: "llama-bpe", "qwen2", …
  std::vector<std::string> tokens;   // by id
  std::vector<float> scores;         // empty, or one a token
  std::vector<int32_t> types;        // empty, or one a token: 1 normal, 2 unknown, 3 control, …
  std::vector<std::string> merges;   // "left right"
  std::string precompiled_charsmap;  // bytes
  /// The integers and the flags by their last word: "bos_token_id", "add_bos_token", …
  std::map<std::string, int64_t> ids;
  std::map<std::string, bool> flags;
};

/// From a file's metadata. bad_input when it carries no vocabulary, or a value of the wrong type.
GgufVocabulary read_gguf_vocabulary(const gguf::Metadata& metadata);

/// Encodes as the model's own tokenizer does. bad_input for a kind of model or of pre-tokenizer
/// that is not known, and for lists that contradict each other.
std::shared_ptr<const Tokenizer> make_gguf_tokenizer(GgufVocabulary vocabulary);

}  // namespace attar
