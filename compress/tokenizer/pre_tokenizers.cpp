#include <fmt/core.h>

#include <optional>
#include <utility>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/tokenizer/components.h"
#include "compress/tokenizer/published_patterns.h"
#include "compress/tokenizer/regex.h"
#include "compress/tokenizer/splitting.h"
#include "compress/tokenizer/unicode.h"
#include "compress/tokenizer/word_matchers.h"

namespace attar {
namespace {

/// Cuts at the matches of a regular expression, or of the hand-written matcher that equals it.
class Splitter {
 public:
  Splitter(std::string_view expression, const std::string& where)
      : matcher_(find_word_matcher(expression)) {
    if (!matcher_) regex_ = std::make_unique<Regex>(expression, where);
  }

  void apply(Pieces& pieces, SplitBehavior behavior, bool invert) const {
    if (matcher_)
      split_pieces(pieces, behavior, [&](std::string_view text, std::vector<Stretch>& stretches) {
        for (size_t at = 0; at < text.size();) {
          const size_t begin = std::exchange(at, matcher_(text, at));
          stretches.push_back({begin, at, !invert});
        }
      });
    else
      apply_regex(pieces, behavior, invert);
  }

 private:
  void apply_regex(Pieces& pieces, SplitBehavior behavior, bool invert) const {
    Regex::Scanner scanner(*regex_);
    split_pieces(pieces, behavior, [&](std::string_view text, std::vector<Stretch>& stretches) {
      size_t last = 0;
      scanner.each(text, [&](size_t begin, size_t end) {
        if (last < begin) stretches.push_back({last, begin, invert});
        stretches.push_back({begin, end, !invert});
        last = end;
      });
      if (last < text.size()) stretches.push_back({last, text.size(), invert});
    });
  }

  WordMatcher matcher_;
  std::unique_ptr<Regex> regex_;
};

void split_by_text(Pieces& pieces, std::string_view wanted, SplitBehavior behavior, bool invert) {
  split_pieces(pieces, behavior, [&](std::string_view text, std::vector<Stretch>& stretches) {
    size_t last = 0;
    for (size_t found;
         !wanted.empty() && (found = text.find(wanted, last)) != std::string_view::npos;
         last = found + wanted.size()) {
      if (last < found) stretches.push_back({last, found, invert});
      stretches.push_back({found, found + wanted.size(), !invert});
    }
    if (last < text.size()) stretches.push_back({last, text.size(), invert && !wanted.empty()});
  });
}

class ByteLevel final : public PreTokenizer {
 public:
  explicit ByteLevel(Fields& fields) : add_space_(fields.flag("add_prefix_space")) {
    fields.flag("trim_offsets", true);  // about offsets, not ids
    if (fields.flag("use_regex", true)) words_.emplace(patterns::kGpt2, fields.where("use_regex"));
  }
  void apply(Pieces& pieces) const override {
    if (add_space_)
      rewrite_pieces(pieces, [](std::string& out, const Piece&, std::string_view text) {
        if (!text.starts_with(' ')) out += ' ';
        out += text;
      });
    if (words_) words_->apply(pieces, SplitBehavior::isolated, false);
    rewrite_pieces(pieces, [](std::string& out, const Piece&, std::string_view text) {
      append_byte_characters(out, text);
    });
  }

 private:
  bool add_space_;
  std::optional<Splitter> words_;
};

class Split final : public PreTokenizer {
 public:
  explicit Split(Fields& fields)
      : pattern_(fields.pattern("pattern")),
        behavior_(split_behavior(fields.text("behavior"), fields.where("behavior"))),
        invert_(fields.flag("invert", false)) {
    if (pattern_.regex) regex_.emplace(pattern_.text, fields.where("pattern"));
  }
  void apply(Pieces& pieces) const override {
    if (regex_)
      regex_->apply(pieces, behavior_, invert_);
    else
      split_by_text(pieces, pattern_.text, behavior_, invert_);
  }

 private:
  Fields::PatternText pattern_;
  SplitBehavior behavior_;
  bool invert_;
  std::optional<Splitter> regex_;
};

class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(Fields& fields) : split_(fields.flag("split", true)) {
    append_utf8(mark_, fields.character("replacement"));
    fields.text("str_rep", "");  // older files repeat the replacement
    const bool prefix =
        fields.flag("add_prefix_space", true);  // older files, before prepend_scheme
    scheme_ = fields.text("prepend_scheme", prefix ? "always" : "never");
    const std::vector<std::string> schemes = {"always", "first", "never"};
    if (std::find(schemes.begin(), schemes.end(), scheme_) == schemes.end())
      throw bad_input(fmt::format("\"{}\" is no prepend scheme", scheme_),
                      fields.where("prepend_scheme"), suggest(scheme_, schemes));
  }
  void apply(Pieces& pieces) const override {
    rewrite_pieces(pieces, [&](std::string& out, const Piece& piece, std::string_view text) {
      const bool marked = text.starts_with(' ') || text.starts_with(mark_);
      if (!marked && (scheme_ == "always" || (scheme_ == "first" && piece.at_start))) out += mark_;
      out += replaced(text, " ", mark_);
    });
    if (split_) split_by_text(pieces, mark_, SplitBehavior::merged_with_next, false);
  }

 private:
  std::string mark_, scheme_;
  bool split_;
};

class WhitespaceWords final : public PreTokenizer {
 public:
  explicit WhitespaceWords(Fields& fields) : words_(R"(\w+|[^\w\s]+)", fields.where()) {}
  void apply(Pieces& pieces) const override { words_.apply(pieces, SplitBehavior::removed, true); }

 private:
  Splitter words_;
};

class WhitespaceSplit final : public PreTokenizer {
 public:
  explicit WhitespaceSplit(Fields&) {}
  void apply(Pieces& pieces) const override {
    split_at_characters(pieces, SplitBehavior::removed, is_white_space);
  }
};

class Digits final : public PreTokenizer {
 public:
  explicit Digits(Fields& fields)
      : behavior_(fields.flag("individual_digits", false) ? SplitBehavior::isolated
                                                          : SplitBehavior::contiguous) {}
  void apply(Pieces& pieces) const override { split_at_characters(pieces, behavior_, is_numeric); }

 private:
  SplitBehavior behavior_;
};

class Punctuation final : public PreTokenizer {
 public:
  explicit Punctuation(Fields& fields)
      : behavior_(split_behavior(fields.text("behavior", "Isolated"), fields.where("behavior"))) {}
  void apply(Pieces& pieces) const override {
    split_at_characters(pieces, behavior_, is_punctuation);
  }

 private:
  SplitBehavior behavior_;
};

class CharDelimiterSplit final : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(Fields& fields) : delimiter_(fields.character("delimiter")) {}
  void apply(Pieces& pieces) const override {
    split_at_characters(pieces, SplitBehavior::removed,
                        [&](char32_t c) { return c == delimiter_; });
  }

 private:
  char32_t delimiter_;
};

class BertPreTokenizer final : public PreTokenizer {
 public:
  explicit BertPreTokenizer(Fields&) {}
  void apply(Pieces& pieces) const override {
    split_at_characters(pieces, SplitBehavior::removed, is_white_space);
    split_at_characters(pieces, SplitBehavior::isolated, is_punctuation);
  }
};

class PreTokenizerSequence final : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(Fields& fields) {
    for (Fields& child : fields.children("pretokenizers"))
      steps_.push_back(make_pre_tokenizer(std::move(child)));
  }
  void apply(Pieces& pieces) const override {
    for (const auto& step : steps_) step->apply(pieces);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

template <class T>
std::unique_ptr<PreTokenizer> make(Fields& fields) {
  return std::make_unique<T>(fields);
}

constexpr ComponentRow<PreTokenizer> kPreTokenizers[] = {
    {"ByteLevel", make<ByteLevel>},
    {"Split", make<Split>},
    {"Metaspace", make<Metaspace>},
    {"Whitespace", make<WhitespaceWords>},
    {"WhitespaceSplit", make<WhitespaceSplit>},
    {"Digits", make<Digits>},
    {"Punctuation", make<Punctuation>},
    {"CharDelimiterSplit", make<CharDelimiterSplit>},
    {"BertPreTokenizer", make<BertPreTokenizer>},
    {"Sequence", make<PreTokenizerSequence>},
};

}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(Fields fields) {
  return make_component(std::span<const ComponentRow<PreTokenizer>>(kPreTokenizers),
                        "pre-tokenizer", std::move(fields));
}

}  // namespace attar
