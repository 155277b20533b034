#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "compress/tokenizer/characters_map.h"
#include "compress/tokenizer/sentencepiece.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

constexpr std::string_view kBlock = "\xE2\x96\x81";  // ▁

class SentencePieceNormalizer final : public Normalizer {
 public:
  SentencePieceNormalizer(const SentencePieceNormalization& spec, const std::string& where)
      : spec_(spec), space_(spec.escape_whitespaces ? kBlock : " ") {
    if (!spec.characters_map.empty()) map_.emplace(spec.characters_map, where);
    for (const std::string& piece : spec.kept) {
      kept_.insert(piece);
      size_t& longest = longest_[static_cast<unsigned char>(piece[0])];
      longest = std::max(longest, piece.size());
    }
  }

  void apply(std::string& text) const override {
    std::string_view rest = text;
    if (spec_.remove_extra_whitespaces)
      while (!rest.empty()) {
        const Step step = next(rest);
        if (step.text != " ") break;
        rest.remove_prefix(step.length);
      }
    std::string out;
    out.reserve(rest.size() + rest.size() / 2 + 3);
    if (!rest.empty()) rewrite(rest, out);
    text = std::move(out);
  }

 private:
  struct Step {
    std::string_view text;  // what it becomes
    size_t length;          // how much it takes
  };

  void rewrite(std::string_view rest, std::string& out) const {
    if (spec_.add_dummy_prefix && !spec_.whitespace_as_suffix) out += space_;
    bool after_space = spec_.remove_extra_whitespaces;
    while (!rest.empty()) {
      const Step step = next(rest);
      std::string_view piece = step.text;
      while (after_space && piece.starts_with(' ')) piece.remove_prefix(1);
      for (const char c : piece) {
        if (c == ' ')
          out += space_;
        else
          out += c;
      }
      if (spec_.remove_extra_whitespaces && !piece.empty()) after_space = piece.ends_with(' ');
      rest.remove_prefix(step.length);
    }
    if (spec_.remove_extra_whitespaces)
      while (out.ends_with(space_)) out.resize(out.size() - space_.size());
    if (spec_.add_dummy_prefix && spec_.whitespace_as_suffix) out += space_;
  }

  /// What the text begins with: a user-defined piece, an entry of the map, or one character.
  Step next(std::string_view text) const {
    const size_t longest = longest_[static_cast<unsigned char>(text[0])];
    for (size_t length = std::min(longest, text.size()); length > 0; --length)
      if (kept_.contains(text.substr(0, length))) return {text.substr(0, length), length};
    if (map_)
      if (const auto match = map_->longest(text)) return {match->replacement, match->length};
    const size_t length = utf8_length(text[0]);
    return {text.substr(0, length), length};
  }

  SentencePieceNormalization spec_;
  std::string_view space_;
  std::optional<CharactersMap> map_;
  std::set<std::string, std::less<>> kept_;
  std::array<size_t, 256> longest_{};  // of the kept pieces that begin with a byte
};

}  // namespace

std::unique_ptr<Normalizer> make_sentencepiece_normalizer(const SentencePieceNormalization& spec,
                                                          const std::string& where) {
  return std::make_unique<SentencePieceNormalizer>(spec, where);
}

}  // namespace attar
