#include <fmt/core.h>

#include <cctype>
#include <string>
#include <string_view>

#include "compress/base/error.h"
#include "compress/tokenizer/regex.h"

namespace attar {
namespace {

constexpr std::string_view kWord = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";

/// Reads an Oniguruma expression (doc/RE of that project) once from left to right.
class Translator {
 public:
  Translator(std::string_view expression, const std::string& where)
      : in_(expression), where_(where) {}

  std::string run() {
    while (at_ < in_.size()) {
      if (in_[at_] == '\\') {
        escape();
      } else if (depth_ > 0) {
        in_class();
      } else {
        outside();
      }
    }
    return out_;
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw bad_input(
        fmt::format("{} has no exact counterpart here (in the regular expression {})", what, in_),
        where_);
  }

  char peek(size_t ahead) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }

  void copy(size_t count) {
    out_ += in_.substr(at_, count);
    at_ += count;
  }
  void replace(size_t count, std::string_view text) {
    out_ += text;
    at_ += count;
  }

  void escape() {
    const char c = peek(1);
    if (c == '\0') refuse("a backslash at the end");
    if (!std::isalnum(static_cast<unsigned char>(c))) return copy(2);
    const std::string word(kWord);
    switch (c) {
      case 's':
        return replace(2, "\\p{White_Space}");
      case 'S':
        return replace(2, "\\P{White_Space}");
      case 'w':
        return replace(2, depth_ ? word : "[" + word + "]");
      case 'W':
        if (depth_) refuse("\\W in a class");
        return replace(2, "[^" + word + "]");
      case 'b':
        if (depth_) refuse("\\b in a class");
        return replace(2, fmt::format("(?:(?<=[{0}])(?![{0}])|(?<![{0}])(?=[{0}]))", word));
      case 'v':
        return replace(2, "\\x{b}");
      case 'p':
      case 'P':
        return property();
      case 'u':
        return code_unit();
      case 'x':
        return hexadecimal();
      case 'd':
      case 'D':
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'a':
      case 'e':
        return copy(2);
      case 'A':
      case 'z':
      case 'Z':
        if (!depth_) return copy(2);
    }
    refuse(fmt::format("\\{}", c));
  }

  /// \p{L}, \p{^Lu}, \p{Han}. A longer name is a script, which Oniguruma means without extensions.
  void property() {
    const size_t close = in_.find('}', at_);
    if (peek(2) != '{' || close == std::string_view::npos) refuse("\\p without braces");
    std::string_view name = in_.substr(at_ + 3, close - at_ - 3);
    const bool negated = !name.empty() && name[0] == '^';
    if (negated) name.remove_prefix(1);
    out_ += fmt::format("\\{}{{{}{}{}}}", in_[at_ + 1], negated ? "^" : "",
                        name.size() > 2 ? "sc:" : "", name);
    at_ = close + 1;
  }

  void code_unit() {
    for (size_t i = 2; i < 6; ++i)
      if (!std::isxdigit(static_cast<unsigned char>(peek(i)))) refuse("\\u without four digits");
    out_ += fmt::format("\\x{{{}}}", in_.substr(at_ + 2, 4));
    at_ += 6;
  }

  void hexadecimal() {
    if (peek(2) == '{') return copy(2);
    if (peek(2) > '7' || !std::isxdigit(static_cast<unsigned char>(peek(3))))
      refuse("\\x of a byte above 7F");
    copy(4);
  }

  /// Classes may nest ([^(\s|[.,!?])]): an inner one without ^ only adds its members.
  void in_class() {
    const char c = in_[at_];
    if (c == '&' && peek(1) == '&') refuse("the intersection && of classes");
    if (c == '[') {
      if (peek(1) == '^') refuse("a negated class in a class");
      if (peek(1) == ':') refuse("a POSIX class");
      ++depth_;
      ++at_;
    } else if (c == ']') {
      --depth_;
      if (depth_ == 0) return copy(1);
      ++at_;
    } else {
      copy(1);
    }
  }

  void outside() {
    const char c = in_[at_];
    if (c == '[') {
      depth_ = 1;
      copy(peek(1) == '^' ? 2 : 1);
      if (peek(0) == ']') refuse("an empty class");
    } else if (c == '(') {
      group();
    } else if (c == '{') {
      repeat();
    } else {
      copy(1);
    }
  }

  void group() {
    if (peek(1) == '*') refuse("(*");
    if (peek(1) != '?') return copy(1);
    size_t flags = 2;
    while (peek(flags) == 'i' || peek(flags) == '-') ++flags;
    if (flags > 2 && (peek(flags) == ':' || peek(flags) == ')')) return copy(flags + 1);
    const std::string_view rest = in_.substr(at_ + 2);
    for (const std::string_view opening : {":", "=", "!", "<=", "<!", ">"})
      if (rest.starts_with(opening)) return copy(2 + opening.size());
    refuse(in_.substr(at_, 3));
  }

  /// {n}, {n,}, {n,m}. Behind them + repeats again, which PCRE2 reads as "possessive".
  void repeat() {
    const size_t close = in_.find('}', at_);
    if (close == std::string_view::npos || peek(1) == ',') refuse("this {");
    for (const char c : in_.substr(at_ + 1, close - at_ - 1))
      if (c != ',' && !std::isdigit(static_cast<unsigned char>(c))) refuse("this {");
    copy(close + 1 - at_);
    if (peek(0) == '+') refuse("{n,m}+");
  }

  std::string_view in_;
  const std::string& where_;
  std::string out_;
  size_t at_ = 0;
  int depth_ = 0;  // of classes
};

}  // namespace

std::string translate_oniguruma(std::string_view expression, const std::string& where) {
  return Translator(expression, where).run();
}

}  // namespace attar
