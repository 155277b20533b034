// The stages around the model: normalizer, pre-tokenizer, post-processor, decoder. Each kind has
// one file with one table of its types, named as tokenizer.json names them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compress/tokenizer/fields.h"
#include "compress/tokenizer/pieces.h"

namespace attar {

/// Rewrites a text before anything is cut.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(std::string& text) const = 0;
};

/// Cuts pieces into smaller ones and may rewrite them.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void apply(Pieces& pieces) const = 0;
};

/// Ids with the type (segment) of each, as encoders read them.
struct TypedIds {
  std::vector<int32_t> ids, types;
  void add(const std::vector<int32_t>& more, int32_t type) {
    ids.insert(ids.end(), more.begin(), more.end());
    types.insert(types.end(), more.size(), type);
  }
};

/// Adds what surrounds a sequence: begin token, end token.
class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  /// Without `special` no special token is added.
  virtual void apply(std::vector<int32_t>& ids, bool special) const = 0;
  /// The special ids before and behind the sequence.
  virtual void surroundings(std::vector<int32_t>& before, std::vector<int32_t>& behind) const = 0;
  /// One sequence (second == nullptr) or two with special tokens and types, into the empty `out`;
  /// false when this processor adds nothing.
  virtual bool assemble(const std::vector<int32_t>& first, const std::vector<int32_t>* second,
                        TypedIds& out) const = 0;
};

/// Turns the tokens of a sequence, as the vocabulary spells them, back into text: join them
/// afterwards.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

std::unique_ptr<Normalizer> make_normalizer(Fields fields);
std::unique_ptr<PreTokenizer> make_pre_tokenizer(Fields fields);
std::unique_ptr<PostProcessor> make_post_processor(Fields fields);
std::unique_ptr<Decoder> make_decoder(Fields fields);

/// GPT-2's alphabet, which gives each byte a visible character: UTF-8 text of one byte's character.
const std::string& byte_character(unsigned char byte);
/// The byte of such a character; -1 for another character.
int byte_of_character(char32_t character);
/// Appends all bytes of `text` in that alphabet.
void append_byte_characters(std::string& out, std::string_view text);

/// `text` with each `from` replaced by `to`; nothing changes for an empty `from`.
std::string replaced(std::string_view text, std::string_view from, std::string_view to);

}  // namespace attar
