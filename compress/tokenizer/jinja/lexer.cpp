#include <algorithm>
#include <cctype>

#include "compress/base/error.h"
#include "compress/tokenizer/jinja/syntax.h"

namespace attar::jinja {

void fail(const std::string& what, const std::string& name, int line) {
  throw bad_input("chat template: " + what, name + ": template line " + std::to_string(line));
}

namespace {

using Kind = Token::Kind;

class Lexer {
 public:
  Lexer(std::string_view source, const std::string& name) : source_(source), name_(name) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      read_text();
      if (at_ >= source_.size()) break;
      if (looking_at("{#"))
        skip_comment();
      else
        read_tag(looking_at("{{"));
    }
    tokens_.push_back({Kind::end, "", line_});
    return std::move(tokens_);
  }

 private:
  bool looking_at(std::string_view word) const { return source_.substr(at_).starts_with(word); }

  void advance(size_t count) {
    for (const char c : source_.substr(at_, count)) line_ += c == '\n';
    at_ += count;
  }

  static bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

  /// Text up to the next opening mark, with the marks' whitespace control applied to its end.
  void read_text() {
    size_t end = at_;
    while (end < source_.size()) {
      end = source_.find('{', end);
      if (end == std::string_view::npos || end + 1 >= source_.size()) {
        end = source_.size();
      } else if (const char c = source_[end + 1]; c != '{' && c != '%' && c != '#') {
        ++end;
        continue;
      }
      break;
    }
    std::string text(source_.substr(at_, end - at_));
    const int line = line_;
    advance(end - at_);
    if (trim_next_) text.erase(0, std::min(text.size(), text.find_first_not_of(" \t\r\n")));
    if (drop_newline_ && text.starts_with("\n")) text.erase(0, 1);
    trim_next_ = drop_newline_ = false;
    if (at_ < source_.size()) {
      const char control = at_ + 2 < source_.size() ? source_[at_ + 2] : ' ';
      if (control == '-') {
        while (!text.empty() && is_space(text.back())) text.pop_back();
      } else if (control != '+' && source_[at_ + 1] != '{') {
        strip_indentation(text);
      }
    }
    if (!text.empty()) tokens_.push_back({Kind::text, text, line});
  }

  /// lstrip_blocks: blanks between the start of a line and a tag disappear.
  void strip_indentation(std::string& text) const {
    const auto last = text.find_last_not_of(" \t");
    const bool whole = last == std::string::npos;
    const bool line_start =
        whole ? (at_ == text.size() || source_[at_ - text.size() - 1] == '\n') : text[last] == '\n';
    if (line_start) text.erase(whole ? 0 : last + 1);
  }

  void skip_comment() {
    const auto end = source_.find("#}", at_ + 2);
    if (end == std::string_view::npos) fail("a comment is not closed", name_, line_);
    trim_next_ = source_[end - 1] == '-';
    drop_newline_ = !trim_next_ && source_[end - 1] != '+';
    advance(end + 2 - at_);
  }

  void read_tag(bool print) {
    const int opened = line_;
    tokens_.push_back({print ? Kind::open_print : Kind::open_tag, "", line_});
    advance(2);
    if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) advance(1);
    const std::string_view close = print ? "}}" : "%}";
    int depth = 0;  // of braces: "}}" may close a dictionary
    for (;;) {
      while (at_ < source_.size() && is_space(source_[at_])) advance(1);
      if (at_ >= source_.size()) fail("a tag is not closed", name_, opened);
      if (depth == 0) {
        const bool control = source_[at_] == '-' || source_[at_] == '+';
        if (source_.substr(at_ + (control ? 1 : 0)).starts_with(close)) {
          trim_next_ = control && source_[at_] == '-';
          drop_newline_ = !print && !control;
          advance(control ? 3 : 2);
          tokens_.push_back({print ? Kind::close_print : Kind::close_tag, "", line_});
          return;
        }
      }
      read_token(depth);
    }
  }

  void read_token(int& depth) {
    const char c = source_[at_];
    const auto word = [&](auto belongs) {
      size_t end = at_;
      while (end < source_.size() && belongs(static_cast<unsigned char>(source_[end]))) ++end;
      return std::string(source_.substr(at_, end - at_));
    };
    if (c == '"' || c == '\'') return read_string(c);
    if (std::isdigit(static_cast<unsigned char>(c))) {
      const auto text =
          word([](unsigned char d) { return std::isdigit(d) || d == '.' || d == '_'; });
      return push(Kind::number, text);
    }
    if (std::isalpha(static_cast<unsigned char>(c)) || c == '_')
      return push(Kind::name, word([](unsigned char d) { return std::isalnum(d) || d == '_'; }));
    for (const std::string_view symbol : {"==", "!=", "<=", ">=", "//", "**"})
      if (looking_at(symbol)) return push(Kind::symbol, std::string(symbol));
    if (std::string_view("+-*/%~|.,:()[]{}<>=").find(c) == std::string_view::npos)
      fail(std::string("unexpected '") + c + "'", name_, line_);
    depth += c == '{' ? 1 : c == '}' ? -1 : 0;
    push(Kind::symbol, std::string(1, c));
  }

  void push(Kind kind, const std::string& text) {
    tokens_.push_back({kind, text, line_});
    advance(text.size());
  }

  void read_string(char quote) {
    const int line = line_;
    std::string text;
    advance(1);
    while (at_ < source_.size() && source_[at_] != quote) {
      if (source_[at_] == '\\' && at_ + 1 < source_.size()) {
        advance(1);
        const char c = source_[at_];
        switch (c) {
          case 'n':
            text += '\n';
            break;
          case 't':
            text += '\t';
            break;
          case 'r':
            text += '\r';
            break;
          case '\\':
          case '\'':
          case '"':
            text += c;
            break;
          default:
            fail(std::string("unknown escape '\\") + c + "' in a string", name_, line_);
        }
      } else {
        text += source_[at_];
      }
      advance(1);
    }
    if (at_ >= source_.size()) fail("a string is not closed", name_, line);
    advance(1);
    tokens_.push_back({Kind::string, text, line});
  }

  std::string_view source_;
  const std::string& name_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int line_ = 1;
  bool trim_next_ = false, drop_newline_ = false;
};

}  // namespace

std::vector<Token> lex(std::string_view source, const std::string& name) {
  return Lexer(source, name).run();
}

}  // namespace attar::jinja
