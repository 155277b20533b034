// Tokens that are recognized in a text before the model sees it: <|user|>, </s>, [MASK].
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compress/tokenizer/components.h"
#include "compress/tokenizer/fields.h"
#include "compress/tokenizer/vocabulary.h"

namespace attar {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool special = false;                 // left out of text when special tokens are skipped
  bool single_word = false;             // only where no word character touches it
  bool lstrip = false, rstrip = false;  // takes the white space before or behind it along
  bool normalized =
      false;  // looked for (normalized itself) in the normalized text, else in the raw one
};

class AddedTokens {
 public:
  AddedTokens() = default;
  /// bad_input when an id contradicts the vocabulary or another token's.
  AddedTokens(std::vector<Fields> list, const Normalizer* normalizer, const Vocabulary& vocabulary);

  struct Part {
    size_t begin, end;
    int32_t id;  // -1: text between tokens
  };
  /// Cuts `text` at the tokens that are looked for in normalized (or raw) text: at every place the
  /// longest.
  std::vector<Part> split(std::string_view text, bool normalized) const;

  const AddedToken* find(int64_t id) const;
  const AddedToken* find(std::string_view content) const;
  /// One more than the highest id; 0 when there is none.
  int64_t size() const { return tokens_.empty() ? 0 : int64_t{tokens_.rbegin()->first} + 1; }

 private:
  /// Finds the longest token at a place.
  class Trie {
   public:
    void add(std::string_view text, const AddedToken* token);
    /// The first place at or after `from` where a token stands; null: none. Sets begin and end.
    const AddedToken* find(std::string_view text, size_t from, size_t& begin, size_t& end) const;

   private:
    struct Node {
      std::map<char, size_t> next;
      const AddedToken* token = nullptr;
    };
    std::vector<Node> nodes_{1};
  };

  std::map<int32_t, AddedToken> tokens_;
  std::map<std::string, int32_t, std::less<>> ids_;
  Trie raw_, normalized_;
};

}  // namespace attar
