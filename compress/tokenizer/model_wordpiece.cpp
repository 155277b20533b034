// WordPiece (Wu et al. 2016; the reading of Devlin et al. 2019): from the left, always the longest
// token that the vocabulary has; a word that can't be spelled to its end is one unknown token.
#include <fmt/core.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/tokenizer/model.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

class WordPiece final : public TokenModel {
 public:
  explicit WordPiece(const ModelSource& source)
      : unknown_(source.fields.text("unk_token")),
        prefix_(source.fields.text("continuing_subword_prefix")),
        longest_(source.fields.integer("max_input_chars_per_word")) {
    read_vocabulary(source);
    unknown_id_ = vocabulary_.lookup(unknown_);
    if (unknown_id_ < 0)
      throw bad_input(fmt::format("the unknown token \"{}\" is not in the vocabulary", unknown_),
                      source.fields.where("unk_token"));
    for (int32_t id = 0; id < vocabulary_.size(); ++id)
      if (vocabulary_.has(id))
        longest_token_ = std::max(longest_token_, vocabulary_.token(id).size());
  }

  void encode(const Pieces& pieces, std::vector<int32_t>& ids) const override {
    for (const Piece& piece : pieces.list) {
      const size_t before = ids.size();
      if (spell(pieces.at(piece), ids)) continue;
      ids.resize(before);
      ids.push_back(unknown_id_);
    }
  }

  std::string fingerprint() const override { return {}; }

 private:
  bool spell(std::string_view word, std::vector<int32_t>& ids) const {
    const auto characters = std::count_if(word.begin(), word.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
    });
    if (characters > longest_) return false;
    std::string text;
    for (size_t begin = 0, end; begin < word.size(); begin = end) {
      text = begin ? prefix_ : "";
      const size_t bare = text.size();
      text += word.substr(begin, longest_token_);
      int32_t id = -1;
      for (; text.size() > bare; text.pop_back())
        if ((id = vocabulary_.lookup(text)) >= 0) break;
      if (id < 0) return false;
      ids.push_back(id);
      end = begin + text.size() - bare;
    }
    return true;
  }

  std::string unknown_, prefix_;
  int64_t longest_;
  int32_t unknown_id_ = -1;
  size_t longest_token_ = 0;
};

}  // namespace

std::unique_ptr<TokenModel> make_wordpiece(const ModelSource& source) {
  return std::make_unique<WordPiece>(source);
}

}  // namespace attar
