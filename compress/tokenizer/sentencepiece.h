// SentencePiece models (.model files; google/sentencepiece, sentencepiece_model.proto), read by our
// own reader of the protocol buffer's wire format, and their way of normalizing a text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "compress/base/files.h"
#include "compress/tokenizer/components.h"
#include "compress/tokenizer/model.h"

namespace attar {

/// NormalizerSpec, and what else decides how a text is rewritten before it is cut.
struct SentencePieceNormalization {
  std::string characters_map;  // precompiled; empty: characters stay as they are
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool whitespace_as_suffix = false;  // the dummy goes behind the text
  std::vector<std::string> kept;      // user-defined pieces, which are never rewritten
};

/// `where` is the file, for messages.
std::unique_ptr<Normalizer> make_sentencepiece_normalizer(const SentencePieceNormalization& spec,
                                                          const std::string& where);

struct SentencePieceModel {
  enum class Type { unigram = 1, bpe, word, character };
  Type type = Type::unigram;
  VocabularyLists lists;
  SentencePieceNormalization normalization;
  bool byte_fallback = false;
  int64_t unknown_id = 0, bos_id = 1, eos_id = 2, pad_id = -1;  // -1: none
};

/// bad_input, with the byte, for bytes that are no such model.
SentencePieceModel parse_sentencepiece(std::string_view bytes, const std::string& where);

}  // namespace attar
