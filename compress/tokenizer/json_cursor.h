// Reads the two large lists of a tokenizer.json, vocabulary and merges, straight from the text: at
// start-up they are nearly all of the work, and building a tree of them costs several times what
// reading them does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace attar {

class JsonCursor {
 public:
  /// Starts at byte `at` of `text`; `where` is the file for messages.
  JsonCursor(std::string_view text, const std::string& where, size_t at = 0)
      : text_(text), where_(where), at_(at) {}

  size_t position() const { return at_; }
  /// The next character that is not blank, '\0' at the end.
  char peek();

  /// Calls value(key) where each value stands; it must read it. The key's text lives until then.
  template <class Value>
  void object(Value&& value) {
    expect('{');
    if (take('}')) return;
    do {
      const std::string_view key = string();
      expect(':');
      value(key);
    } while (take(','));
    expect('}');
  }
  template <class Value>
  void array(Value&& value) {
    expect('[');
    if (take(']')) return;
    do {
      value();
    } while (take(','));
    expect(']');
  }

  /// A string without its escapes; the view lives until the next string() of this cursor.
  std::string_view string();
  int64_t integer();
  double number();
  /// Over one value of any kind; only brackets and strings are looked at.
  void skip();

 private:
  bool take(char c);
  void expect(char c);
  std::string_view unescape(size_t begin);
  uint32_t four_digits();
  [[noreturn]] void fail(std::string_view what) const;

  std::string_view text_;
  const std::string& where_;
  size_t at_;
  std::string unescaped_;
};

}  // namespace attar
