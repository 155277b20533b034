#include "compress/base/error.h"
#include "compress/tokenizer/base64.h"
#include "compress/tokenizer/characters_map.h"
#include "compress/tokenizer/components.h"
#include "compress/tokenizer/regex.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

template <NormalForm form>
class UnicodeForm final : public Normalizer {
 public:
  explicit UnicodeForm(Fields&) {}
  void apply(std::string& text) const override { text = normalized(text, form); }
};

/// Appends each character of `text` through `map(out, character)`.
template <class Map>
void map_characters(std::string& text, Map&& map) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) map(out, next_character(text, at));
  text = std::move(out);
}

class Lowercase final : public Normalizer {
 public:
  explicit Lowercase(Fields&) {}
  void apply(std::string& text) const override { map_characters(text, append_lowercase); }
};

class StripAccents final : public Normalizer {
 public:
  explicit StripAccents(Fields&) {}
  void apply(std::string& text) const override {
    map_characters(text, [](std::string& out, char32_t c) {
      if (!is_combining_mark(c)) append_utf8(out, c);
    });
  }
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(Fields& fields) : prefix_(fields.text("prepend")) {}
  void apply(std::string& text) const override {
    if (!text.empty()) text.insert(0, prefix_);
  }

 private:
  std::string prefix_;
};

class Strip final : public Normalizer {
 public:
  explicit Strip(Fields& fields)
      : left_(fields.flag("strip_left")), right_(fields.flag("strip_right")) {}
  void apply(std::string& text) const override {
    size_t begin = text.size(), end = 0;  // of what is not white space
    for (size_t at = 0, start = 0; at < text.size(); start = at) {
      if (is_white_space(next_character(text, at))) continue;
      begin = std::min(begin, start);
      end = at;
    }
    if (right_) text.erase(left_ && begin == text.size() ? 0 : end);
    if (left_) text.erase(0, std::min(begin, text.size()));
  }

 private:
  bool left_, right_;
};

class Replace final : public Normalizer {
 public:
  explicit Replace(Fields& fields)
      : pattern_(fields.pattern("pattern")), to_(fields.text("content")) {
    if (pattern_.regex) regex_ = std::make_unique<Regex>(pattern_.text, fields.where("pattern"));
  }
  void apply(std::string& text) const override {
    if (!regex_) {
      text = replaced(text, pattern_.text, to_);
      return;
    }
    std::string out;
    size_t last = 0;
    Regex::Scanner(*regex_).each(text, [&](size_t begin, size_t end) {
      out.append(text, last, begin - last).append(to_);
      last = end;
    });
    text = out.append(text, last);
  }

 private:
  Fields::PatternText pattern_;
  std::string to_;
  std::unique_ptr<Regex> regex_;
};

class ByteLevelNormalizer final : public Normalizer {
 public:
  explicit ByteLevelNormalizer(Fields&) {}
  void apply(std::string& text) const override {
    std::string out;
    append_byte_characters(out, text);
    text = std::move(out);
  }
};

/// The reference implementation's reading of SentencePiece's precompiled map: a short grapheme (of
/// less than 6 bytes) becomes the replacement of its shortest entry as a whole; else each of its
/// characters is replaced by itself.
class Precompiled final : public Normalizer {
 public:
  explicit Precompiled(Fields& fields) : map_(blob(fields), fields.where("precompiled_charsmap")) {}

  void apply(std::string& text) const override {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0, end; at < text.size(); at = end) {
      end = grapheme_end(text, at);
      const std::string_view grapheme = std::string_view(text).substr(at, end - at);
      if (grapheme.size() < 6)
        if (const auto match = map_.shortest(grapheme)) {
          out += match->replacement;
          continue;
        }
      for (size_t i = 0, length; i < grapheme.size(); i += length) {
        length = utf8_length(grapheme[i]);
        const std::string_view character = grapheme.substr(i, length);
        const auto match = map_.shortest(character);
        out += match ? match->replacement : character;
      }
    }
    text = std::move(out);
  }

 private:
  static std::string blob(Fields& fields) {
    const auto bytes = decode_base64(fields.text("precompiled_charsmap"));
    if (!bytes) throw bad_input("not valid base64", fields.where("precompiled_charsmap"));
    return *bytes;
  }
  CharactersMap map_;
};

bool is_cjk(char32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) ||
         (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
         (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
         (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

/// BERT's clean-up (Devlin et al. 2019, its tokenization code): control characters go, white space
/// becomes a blank, Chinese characters stand alone, accents and capitals go.
class BertNormalizer final : public Normalizer {
 public:
  explicit BertNormalizer(Fields& fields)
      : clean_(fields.flag("clean_text")),
        chinese_(fields.flag("handle_chinese_chars")),
        lowercase_(fields.flag("lowercase")),
        accents_(fields.flag("strip_accents", lowercase_)) {}

  void apply(std::string& text) const override {
    if (clean_)
      map_characters(text, [](std::string& out, char32_t c) {
        const bool blank = is_white_space(c);
        if (c == 0 || c == 0xfffd || (is_other(c) && c != '\t' && c != '\n' && c != '\r')) return;
        append_utf8(out, blank ? U' ' : c);
      });
    if (chinese_)
      map_characters(text, [](std::string& out, char32_t c) {
        if (is_cjk(c)) out += ' ';
        append_utf8(out, c);
        if (is_cjk(c)) out += ' ';
      });
    if (accents_) {
      text = normalized(text, NormalForm::nfd);
      map_characters(text, [](std::string& out, char32_t c) {
        if (!is_nonspacing_mark(c)) append_utf8(out, c);
      });
    }
    if (lowercase_) map_characters(text, append_lowercase);
  }

 private:
  bool clean_, chinese_, lowercase_, accents_;
};

class NormalizerSequence final : public Normalizer {
 public:
  explicit NormalizerSequence(Fields& fields) {
    for (Fields& child : fields.children("normalizers"))
      steps_.push_back(make_normalizer(std::move(child)));
  }
  void apply(std::string& text) const override {
    for (const auto& step : steps_) step->apply(text);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

template <class T>
std::unique_ptr<Normalizer> make(Fields& fields) {
  return std::make_unique<T>(fields);
}

constexpr ComponentRow<Normalizer> kNormalizers[] = {
    {"NFC", make<UnicodeForm<NormalForm::nfc>>},
    {"NFD", make<UnicodeForm<NormalForm::nfd>>},
    {"NFKC", make<UnicodeForm<NormalForm::nfkc>>},
    {"NFKD", make<UnicodeForm<NormalForm::nfkd>>},
    {"Lowercase", make<Lowercase>},
    {"StripAccents", make<StripAccents>},
    {"Prepend", make<Prepend>},
    {"Strip", make<Strip>},
    {"Replace", make<Replace>},
    {"ByteLevel", make<ByteLevelNormalizer>},
    {"Precompiled", make<Precompiled>},
    {"BertNormalizer", make<BertNormalizer>},
    {"Sequence", make<NormalizerSequence>},
};

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(Fields fields) {
  return make_component(std::span<const ComponentRow<Normalizer>>(kNormalizers), "normalizer",
                        std::move(fields));
}

}  // namespace attar
