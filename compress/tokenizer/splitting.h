// What pre-tokenizers do with the places where a pattern matches.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compress/tokenizer/pieces.h"
#include "compress/tokenizer/unicode.h"

namespace attar {

enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// "Removed", "Isolated", … as tokenizer.json spells them; bad_input for another.
SplitBehavior split_behavior(const std::string& name, const std::string& where);

/// A stretch of a text that matches, or that lies between matches.
struct Stretch {
  size_t begin, end;
  bool match;
};

/// Applies `behavior` to the stretches of one piece (offsets within it) and appends what is left to
/// `list`.
void append_split(const Piece& piece, std::vector<Stretch>& stretches, SplitBehavior behavior,
                  std::vector<Piece>& list);

/// Splits every piece; find(text, stretches) lists all of its stretches in order.
template <class Find>
void split_pieces(Pieces& pieces, SplitBehavior behavior, Find&& find) {
  std::vector<Piece> list;
  std::vector<Stretch> stretches;
  for (const Piece& piece : pieces.list) {
    stretches.clear();
    find(pieces.at(piece), stretches);
    append_split(piece, stretches, behavior, list);
  }
  pieces.list = std::move(list);
}

/// Splits every piece at single characters: those for which is(character) match.
template <class Is>
void split_at_characters(Pieces& pieces, SplitBehavior behavior, Is&& is) {
  split_pieces(pieces, behavior, [&](std::string_view text, std::vector<Stretch>& stretches) {
    size_t open = 0;  // where the stretch without a match begins
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      if (!is(next_character(text, at))) continue;
      if (open < begin) stretches.push_back({open, begin, false});
      stretches.push_back({begin, at, true});
      open = at;
    }
    if (open < text.size()) stretches.push_back({open, text.size(), false});
  });
}

/// Rewrites every piece: rewrite(out, piece, text) appends the new text. Empty ones go.
template <class Rewrite>
void rewrite_pieces(Pieces& pieces, Rewrite&& rewrite) {
  std::string text;
  text.reserve(pieces.text.size() + pieces.text.size() / 4);
  std::vector<Piece> list;
  list.reserve(pieces.list.size());
  for (const Piece& piece : pieces.list) {
    const size_t begin = text.size();
    rewrite(text, piece, pieces.at(piece));
    if (text.size() > begin) list.push_back({begin, text.size(), piece.at_start});
  }
  pieces = {std::move(text), std::move(list)};
}

}  // namespace attar
