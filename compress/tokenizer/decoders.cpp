#include <fmt/core.h>

#include <charconv>

#include "compress/base/error.h"
#include "compress/tokenizer/components.h"
#include "compress/tokenizer/regex.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

std::string joined(const std::vector<std::string>& tokens) {
  std::string text;
  for (const std::string& token : tokens) text += token;
  return text;
}

class ByteLevelDecoder final : public Decoder {
 public:
  explicit ByteLevelDecoder(Fields& fields) {
    for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) fields.find(key);
  }
  void apply(std::vector<std::string>& tokens) const override {
    std::string bytes;
    for (const std::string& token : tokens) {
      const size_t begin = bytes.size();
      for (size_t at = 0; at < token.size();) {
        const int byte = byte_of_character(next_character(token, at));
        if (byte < 0) {  // not of the alphabet: an added token, which stands for itself
          bytes.resize(begin);
          bytes += token;
          break;
        }
        bytes += static_cast<char>(byte);
      }
    }
    tokens = {lossy_utf8(bytes)};
  }
};

/// Runs of <0xE2>, <0x96>, … become the characters they spell, or one U+FFFD each when they spell
/// none.
class ByteFallback final : public Decoder {
 public:
  explicit ByteFallback(Fields&) {}
  void apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> result;
    std::string run;
    const auto end_run = [&] {
      if (run.empty()) return;
      if (!find_invalid_utf8(run))
        result.push_back(run);
      else
        result.insert(result.end(), run.size(), std::string(kReplacementCharacter));
      run.clear();
    };
    for (std::string& token : tokens) {
      if (const int byte = value(token); byte >= 0) {
        run += static_cast<char>(byte);
      } else {
        end_run();
        result.push_back(std::move(token));
      }
    }
    end_run();
    tokens = std::move(result);
  }

 private:
  static int value(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    int byte = -1;
    const auto [stop, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
    return error == std::errc() && stop == token.data() + 5 ? byte : -1;
  }
};

class Fuse final : public Decoder {
 public:
  explicit Fuse(Fields&) {}
  void apply(std::vector<std::string>& tokens) const override { tokens = {joined(tokens)}; }
};

class ReplaceDecoder final : public Decoder {
 public:
  explicit ReplaceDecoder(Fields& fields)
      : pattern_(fields.pattern("pattern")), to_(fields.text("content")) {
    if (pattern_.regex)
      throw bad_input("a decoder that replaces by a regular expression is not implemented",
                      fields.where("pattern"));
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) token = replaced(token, pattern_.text, to_);
  }

 private:
  Fields::PatternText pattern_;
  std::string to_;
};

/// Takes at most `start` and `stop` copies of one character off the ends of every token.
class StripDecoder final : public Decoder {
 public:
  explicit StripDecoder(Fields& fields)
      : start_(fields.integer("start")), stop_(fields.integer("stop")) {
    append_utf8(content_, fields.character("content"));
    if (start_ < 0 || stop_ < 0)
      throw bad_input("start and stop count characters and can't be negative", fields.where());
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (int64_t i = 0; i < start_ && rest.starts_with(content_); ++i)
        rest.remove_prefix(content_.size());
      for (int64_t i = 0; i < stop_ && rest.ends_with(content_); ++i)
        rest.remove_suffix(content_.size());
      token = std::string(rest);
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class MetaspaceDecoder final : public Decoder {
 public:
  explicit MetaspaceDecoder(Fields& fields) {
    append_utf8(mark_, fields.character("replacement"));
    for (const char* key : {"str_rep", "split"}) fields.find(key);
    const bool prefix = fields.flag("add_prefix_space", true);
    drop_first_ = fields.text("prepend_scheme", prefix ? "always" : "never") != "never";
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = replaced(tokens[i], mark_, i == 0 && drop_first_ ? "" : " ");
  }

 private:
  std::string mark_;
  bool drop_first_;
};

class WordPieceDecoder final : public Decoder {
 public:
  explicit WordPieceDecoder(Fields& fields)
      : prefix_(fields.text("prefix")), cleanup_(fields.flag("cleanup")) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0) {
        if (token.starts_with(prefix_))
          token.erase(0, prefix_.size());
        else
          token.insert(token.begin(), ' ');
      }
      if (cleanup_) clean(token);
    }
  }

 private:
  static void clean(std::string& token) {
    constexpr std::pair<std::string_view, std::string_view> kRules[] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (const auto& [from, to] : kRules) token = replaced(token, from, to);
  }
  std::string prefix_;
  bool cleanup_;
};

/// A suffix marks the end of a word and becomes a blank, except at the very end.
class BpeDecoder final : public Decoder {
 public:
  explicit BpeDecoder(Fields& fields) : suffix_(fields.text("suffix")) {}
  void apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = replaced(tokens[i], suffix_, i + 1 == tokens.size() ? "" : " ");
  }

 private:
  std::string suffix_;
};

class DecoderSequence final : public Decoder {
 public:
  explicit DecoderSequence(Fields& fields) {
    for (Fields& child : fields.children("decoders"))
      steps_.push_back(make_decoder(std::move(child)));
  }
  void apply(std::vector<std::string>& tokens) const override {
    for (const auto& step : steps_) step->apply(tokens);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> steps_;
};

template <class T>
std::unique_ptr<Decoder> make(Fields& fields) {
  return std::make_unique<T>(fields);
}

constexpr ComponentRow<Decoder> kDecoders[] = {
    {"ByteLevel", make<ByteLevelDecoder>},
    {"ByteFallback", make<ByteFallback>},
    {"Fuse", make<Fuse>},
    {"Replace", make<ReplaceDecoder>},
    {"Strip", make<StripDecoder>},
    {"Metaspace", make<MetaspaceDecoder>},
    {"WordPiece", make<WordPieceDecoder>},
    {"BPEDecoder", make<BpeDecoder>},
    {"Sequence", make<DecoderSequence>},
};

}  // namespace

std::unique_ptr<Decoder> make_decoder(Fields fields) {
  return make_component(std::span<const ComponentRow<Decoder>>(kDecoders), "decoder",
                        std::move(fields));
}

}  // namespace attar
