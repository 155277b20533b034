// A text on its way to the model: one string and the pieces into which it has been cut so far.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace attar {

struct Piece {
  size_t begin, end;      // bytes of Pieces::text
  bool at_start = false;  // begins where the whole input begins
};

struct Pieces {
  std::string text;
  std::vector<Piece> list;  // from left to right, none empty

  std::string_view at(const Piece& piece) const {
    return std::string_view(text).substr(piece.begin, piece.end - piece.begin);
  }
};

}  // namespace attar
