// A tokenizer as its file describes it. Whatever the file's format, it is put in the terms of
// tokenizer.json, so that one implementation encodes and decodes for all of them.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "compress/base/files.h"
#include "compress/tokenizer/model.h"
#include "compress/tokenizer/sentencepiece.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar {

struct TokenizerDefinition {
  std::string where;          // the file, for messages
  nlohmann::json components;  // a tokenizer.json without the lists
  /// The lists: in a tokenizer.json's text, where these values begin, or apart from it.
  std::optional<MappedFile> file;
  size_t vocabulary = 0, merges = 0;
  std::optional<VocabularyLists> lists;
  /// SentencePiece's way to normalize, in place of components["normalizer"].
  std::optional<SentencePieceNormalization> normalization;
  bool dummy_prefix_once = false;  // only where the whole text begins, not behind special tokens
  fs::path directory;  // its tokenizer_config.json names begin and end; empty: it is not looked at
  std::optional<int32_t> bos, eos;  // unless the directory names others
};

std::shared_ptr<const Tokenizer> make_tokenizer(TokenizerDefinition definition);

// One function a format. All throw bad_input naming what they can't follow.

/// A tokenizer.json.
TokenizerDefinition define_by_tokenizer_json(const fs::path& file);
/// A SentencePiece model of type BPE or unigram. With a tokenizer_config.json beside it, its class
/// and flags say what is added around a text; alone, nothing is.
TokenizerDefinition define_by_sentencepiece(const fs::path& file);
/// A tiktoken file (lines of a token in base64 and its rank). The pattern that cuts words and the
/// special tokens follow from the file's name, or `name` (tiktoken.cpp lists them), or from
/// `pat_str` and `added_tokens_decoder` of a tokenizer_config.json beside it.
TokenizerDefinition define_by_tiktoken(const fs::path& file, const std::string& name = {});
/// BERT's vocab.txt, a token a line.
TokenizerDefinition define_by_vocabulary_text(const fs::path& file);
/// vocab.json and merges.txt of a directory: byte-level BPE.
TokenizerDefinition define_by_vocabulary_and_merges(const fs::path& directory);

/// Whether a file's first bytes are those of a tiktoken file.
bool looks_like_tiktoken(std::string_view bytes);

// Parts of `components`.

/// An entry of "added_tokens" that is looked for in the raw text.
nlohmann::json added_token(const std::string& content, int64_t id, bool special);
/// A post-processor that puts these tokens around a text; those without an id are left out.
nlohmann::json surrounded_by(std::optional<int64_t> before, std::optional<int64_t> behind);
/// BERT's begin and end, or RoBERTa's, which also part two texts; `type` is the post-processor's.
nlohmann::json bracketed_by(const char* type, int64_t begin, int64_t end);
/// The tokenizer_config.json of a directory; an empty object when there is none.
nlohmann::json tokenizer_config(const fs::path& directory);
/// Adds what a tokenizer_config.json ("added_tokens_decoder") or an added_tokens.json of the
/// directory lists to `added`; an id that stands there already is replaced.
void add_configured_tokens(const fs::path& directory, nlohmann::json& added);

}  // namespace attar
