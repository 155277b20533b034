#include "compress/tokenizer/json_cursor.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "compress/base/error.h"
#include "compress/tokenizer/unicode.h"

namespace attar {

void JsonCursor::fail(std::string_view what) const {
  const auto end = text_.begin() + static_cast<std::ptrdiff_t>(std::min(at_, text_.size()));
  throw bad_input(fmt::format("not valid JSON: {}", what),
                  fmt::format("{}:{}", where_, 1 + std::count(text_.begin(), end, '\n')));
}

char JsonCursor::peek() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonCursor::take(char c) {
  if (peek() != c) return false;
  ++at_;
  return true;
}

void JsonCursor::expect(char c) {
  if (!take(c)) fail(fmt::format("'{}' is expected here", c));
}

std::string_view JsonCursor::string() {
  expect('"');
  const size_t begin = at_;
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == '"') return text_.substr(begin, at_++ - begin);
    if (c == '\\') return unescape(begin);
    if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
  }
  fail("a string has no end");
}

uint32_t JsonCursor::four_digits() {
  uint32_t value = 0;
  const char* begin = text_.data() + std::min(at_, text_.size());
  const char* end = begin + std::min<size_t>(4, text_.size() - std::min(at_, text_.size()));
  const auto [stop, error] = std::from_chars(begin, end, value, 16);
  if (error != std::errc() || stop != begin + 4) fail("\\u needs four hexadecimal digits");
  at_ += 4;
  return value;
}

std::string_view JsonCursor::unescape(size_t begin) {
  unescaped_.assign(text_.substr(begin, at_ - begin));
  while (at_ < text_.size() && text_[at_] != '"') {
    if (static_cast<unsigned char>(text_[at_]) < 0x20) fail("a control character in a string");
    if (text_[at_] != '\\') {
      unescaped_ += text_[at_++];
      continue;
    }
    const char c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    at_ += 2;
    constexpr std::string_view kLetters = "\"\\/bfnrt", kMeanings = "\"\\/\b\f\n\r\t";
    if (const size_t i = kLetters.find(c); i != std::string_view::npos) {
      unescaped_ += kMeanings[i];
      continue;
    }
    if (c != 'u') fail("an unknown escape in a string");
    uint32_t code = four_digits();
    if (code >= 0xd800 && code < 0xdc00 && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      const uint32_t low = four_digits();
      if (low < 0xdc00 || low > 0xdfff) fail("half of a surrogate pair");
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code >= 0xd800 && code < 0xe000) fail("half of a surrogate pair");
    append_utf8(unescaped_, code);
  }
  if (at_ >= text_.size()) fail("a string has no end");
  ++at_;
  return unescaped_;
}

int64_t JsonCursor::integer() {
  peek();
  int64_t value = 0;
  const auto [stop, error] =
      std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error != std::errc()) fail("an integer is expected here");
  at_ = static_cast<size_t>(stop - text_.data());
  return value;
}

double JsonCursor::number() {
  const char first = peek();
  if (first != '-' && (first < '0' || first > '9')) fail("a number is expected here");
  double value = 0;
  const auto [stop, error] =
      std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
  if (error != std::errc()) fail("a number is expected here");
  at_ = static_cast<size_t>(stop - text_.data());
  return value;
}

void JsonCursor::skip() {
  size_t depth = 0;
  do {
    const char c = peek();
    if (c == '"') {
      string();
    } else if (c == '{' || c == '[') {
      ++depth;
      ++at_;
    } else if (c == '}' || c == ']') {
      if (depth == 0) fail("a value is expected here");
      --depth;
      ++at_;
    } else if (c == '\0' || at_ >= text_.size()) {
      fail("it ends in the middle");
    } else if (depth > 0) {
      ++at_;
    } else {  // a number, true, false, null
      while (at_ < text_.size() &&
             std::string_view(",}] \t\r\n").find(text_[at_]) == std::string_view::npos)
        ++at_;
    }
  } while (depth > 0);
}

}  // namespace attar
