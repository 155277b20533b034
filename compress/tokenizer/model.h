// The model of a tokenizer.json: pieces to ids. One file each (model_*.cpp), one row each in
// model.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "compress/tokenizer/fields.h"
#include "compress/tokenizer/json_cursor.h"
#include "compress/tokenizer/pieces.h"
#include "compress/tokenizer/vocabulary.h"

namespace attar {

/// What a token is for, numbered as SentencePiece and GGUF number them.
enum class TokenKind : uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

/// The large lists of a vocabulary that is not written as tokenizer.json; ids are indices.
struct VocabularyLists {
  std::vector<std::string> tokens;  // an empty one: no token has this id
  std::vector<TokenKind> kinds;     // one a token; empty: all normal
  std::vector<float> scores;        // one a token; of a BPE without merges: the highest joins first
  std::vector<std::string> merges;  // "left right", the first joins first

  bool is(int64_t id, TokenKind kind) const {
    return kinds.empty() ? kind == TokenKind::normal : kinds[static_cast<size_t>(id)] == kind;
  }
  /// Whether the token may stand for a stretch of text.
  bool spells(int64_t id) const {
    return is(id, TokenKind::normal) || is(id, TokenKind::user_defined) ||
           is(id, TokenKind::unused);
  }
};

/// What a model is made from: its small fields, and where its large lists stand, in the text of a
/// tokenizer.json or in `lists`.
struct ModelSource {
  Fields& fields;
  std::string_view text;
  const std::string& file;
  size_t vocabulary;  // byte at which the value of "vocab" begins
  size_t merges;      // of "merges"; 0 when there is none
  const VocabularyLists* lists = nullptr;

  JsonCursor cursor(size_t at) const { return {text, file, at}; }
};

class TokenModel {
 public:
  virtual ~TokenModel() = default;
  /// Appends the ids of all pieces. bad_input for text that the vocabulary can't spell at all.
  virtual void encode(const Pieces& pieces, std::vector<int32_t>& ids) const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }
  /// What besides vocabulary and small fields decides ids, as bytes to be hashed.
  virtual std::string fingerprint() const = 0;

 protected:
  /// {"token": id, …} or the lists; bad_input for tokens or ids that appear twice.
  void read_vocabulary(const ModelSource& source);
  void add_token(std::string_view token, int64_t id, const ModelSource& source);
  /// The ids of <0x00> … <0xFF>, -1 where there is none.
  std::vector<int32_t> byte_tokens() const;

  Vocabulary vocabulary_;
};

std::unique_ptr<TokenModel> make_bpe(const ModelSource& source);
std::unique_ptr<TokenModel> make_wordpiece(const ModelSource& source);
std::unique_ptr<TokenModel> make_unigram(const ModelSource& source);

/// By "type"; files from before that key exist are BPE when they have merges, else WordPiece.
std::unique_ptr<TokenModel> make_model(const ModelSource& source);

}  // namespace attar
