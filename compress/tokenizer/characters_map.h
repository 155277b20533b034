// A precompiled map of characters, as SentencePiece's normalizer stores it: a double-array trie
// (Aoe 1989; the layout of darts-clone) from text to the place of its replacement.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attar {

class CharactersMap {
 public:
  /// `blob`: the trie's size in bytes (uint32), the trie, the replacements, each ended by a zero
  /// byte. bad_input when it can't be that.
  CharactersMap(std::string_view blob, const std::string& where);

  struct Match {
    size_t length;  // bytes of the text that are replaced
    std::string_view replacement;
  };
  /// The longest entry that `text` begins with.
  std::optional<Match> longest(std::string_view text) const { return find(text, true); }
  std::optional<Match> shortest(std::string_view text) const { return find(text, false); }

 private:
  std::optional<Match> find(std::string_view text, bool longest) const;
  std::string_view replacement(uint32_t at) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
  std::string where_;
};

}  // namespace attar
