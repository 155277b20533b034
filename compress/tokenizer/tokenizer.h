// Text to token ids and back, exactly as the model's own tokenizer does it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/base/files.h"

namespace attar {

/// What an encoder reads: a text or a pair of texts with the special tokens of its template.
struct EncodedText {
  std::vector<int32_t> ids, types;  // types: the segment of each id
  int64_t length = 0;               // how many ids the whole text has
  bool cut() const { return length > static_cast<int64_t>(ids.size()); }
};

/// An immutable tokenizer; safe to use from several threads.
class Tokenizer {
 public:
  /// From a model directory, or a file of it (load.cpp says which count, in which order). What is
  /// not implemented is a bad_input error naming it, never different ids.
  static std::shared_ptr<const Tokenizer> load(const fs::path& path);
  /// The same, or null where a directory has none of these files.
  static std::shared_ptr<const Tokenizer> find(const fs::path& path);
  virtual ~Tokenizer() = default;

  /// With `special`, the post-processor's template is applied (BOS and the like). Special tokens
  /// written in the text are recognized, as the reference implementation does. bad_input with the
  /// byte offset for text that is not valid UTF-8.
  virtual std::vector<int32_t> encode(std::string_view text, bool special = true) const = 0;
  /// One text, or with `second` a pair, as encoders read them: with special tokens and types, never
  /// padded. Where that would be more than `limit` ids, the longer text loses its last ids until it
  /// fits (tokenizer.json's own limit does not count). bad_input: invalid UTF-8, no template for
  /// pairs, a limit that not even the special tokens fit.
  virtual EncodedText encode_text(std::string_view first, std::optional<std::string_view> second,
                                  int64_t limit) const = 0;
  /// Without the special tokens when `skip_special`; bad_input for an id that no token has.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special = false) const = 0;

  /// Ids are in [0, vocab_size()), added tokens included.
  virtual int64_t vocab_size() const = 0;
  virtual std::optional<int32_t> id_of(std::string_view token) const = 0;
  /// The token as the vocabulary spells it; bad_input for an id outside.
  virtual std::string token(int32_t id) const = 0;
  virtual bool is_special(int32_t id) const = 0;
  /// From the post-processor's template or tokenizer_config.json.
  virtual std::optional<int32_t> bos() const = 0;
  virtual std::optional<int32_t> eos() const = 0;
  /// The most ids that encode() gives, when the file asks for truncation; 0: no limit.
  virtual int64_t length_limit() const = 0;
  /// SHA-256 over what decides ids (vocabulary, merges, components); equal tokenizers share it.
  /// Not virtual and in a file of its own: a program that never asks does not link libcrypto.
  const std::string& hash() const;

 protected:
  /// All that decides ids, a part at a time.
  virtual void identify(const std::function<void(std::string_view)>& part) const = 0;

 private:
  mutable std::once_flag hashed_;
  mutable std::string hash_;
};

/// Decodes a growing sequence: push() returns the text that is certain so far (an unfinished UTF-8
/// character is held back).
class StreamDecoder {
 public:
  explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special = true);
  /// What is pushed from now on continues these ids, whose text is known already: the space before
  /// a first word is there, as it is within a text.
  void follow(std::span<const int32_t> ids);
  std::string push(int32_t id);
  /// What was held back. The decoder can then be used anew.
  std::string finish();

 private:
  void find_printed(const std::string& text);
  void forget(const std::string& text);

  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_;
  std::vector<int32_t> ids_;
  size_t printed_ = 0;
  std::string known_;      // text of the ids to follow, until they are behind
  bool in_bytes_ = false;  // the last token that counts is a byte
};

}  // namespace attar
