#include "compress/tokenizer/word_matchers.h"

#include <array>
#include <cstdint>

#include "compress/tokenizer/published_patterns.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

enum Class : uint8_t { kOther, kLetter, kNumber, kSpace };

constexpr std::array<uint8_t, 128> ascii_classes() {
  std::array<uint8_t, 128> classes{};
  for (int c = 0; c < 128; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool space = c == ' ' || (c >= 9 && c <= 13);
    classes[static_cast<size_t>(c)] = letter                 ? kLetter
                                      : c >= '0' && c <= '9' ? kNumber
                                      : space                ? kSpace
                                                             : kOther;
  }
  return classes;
}
constexpr std::array<uint8_t, 128> kAscii = ascii_classes();

/// The class of the character at `at`, and where the next one begins.
struct Seen {
  uint8_t kind;
  size_t end;
};

Seen look(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {kAscii[byte], at + 1};
  const char32_t c = next_character(text, at);
  const uint8_t kind = is_letter(c)        ? kLetter
                       : is_numeric(c)     ? kNumber
                       : is_white_space(c) ? kSpace
                                           : kOther;
  return {kind, at};
}

/// Where the run of characters of a class that goes on at `at` ends.
size_t run_end(std::string_view text, size_t at, uint8_t kind) {
  while (at < text.size()) {
    const Seen seen = look(text, at);
    if (seen.kind != kind) break;
    at = seen.end;
  }
  return at;
}

bool is_line_end(char c) {
  return c == '\r' || c == '\n';
}

/// \s+(?!\S)|\s+ at white space: all of a run, but for its last character when something follows.
size_t white_space_end(std::string_view text, size_t from) {
  size_t at = from, last = from;  // where the last character of the run begins
  while (at < text.size()) {
    const Seen seen = look(text, at);
    if (seen.kind != kSpace) break;
    last = at;
    at = seen.end;
  }
  return at == text.size() || last == from ? at : last;
}

/// GPT-2's 's, 't, 're, 've, 'm, 'll, 'd behind an apostrophe at `at`; 0: none of them.
size_t contraction_end(std::string_view text, size_t at) {
  const char first = at + 1 < text.size() ? text[at + 1] : '\0';
  const char second = at + 2 < text.size() ? text[at + 2] : '\0';
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  const bool two = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                   (first == 'l' && second == 'l');
  return two ? at + 3 : 0;
}

/// The same in letters of any case; ſ (U+017F) is an s then.
size_t caseless_contraction_end(std::string_view text, size_t at) {
  if (text.substr(at + 1).starts_with("\xC5\xBF")) return at + 3;
  const auto lower = [&](size_t i) {
    const char c = i < text.size() ? text[i] : '\0';
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char letters[3] = {'\'', lower(at + 1), lower(at + 2)};
  const size_t end = contraction_end({letters, 3}, 0);
  return end ? at + end : 0;
}

size_t match_gpt2(std::string_view text, size_t from) {
  if (text[from] == '\'')
    if (const size_t end = contraction_end(text, from)) return end;
  Seen seen = look(text, from);
  if (text[from] == ' ' && seen.end < text.size()) {
    const Seen next = look(text, seen.end);
    if (next.kind != kSpace) seen = next;
  }
  return seen.kind == kSpace ? white_space_end(text, from) : run_end(text, seen.end, seen.kind);
}

/// \s*[\r\n]+|\s+(?!\S)|\s+: to the last line end of a run of white space, if it has one.
size_t lines_end(std::string_view text, size_t from) {
  size_t end = 0;
  for (size_t at = from; at < text.size();) {
    const Seen seen = look(text, at);
    if (seen.kind != kSpace) break;
    if (is_line_end(text[at])) end = seen.end;
    at = seen.end;
  }
  return end ? end : white_space_end(text, from);
}

/// Llama 3's pattern, with at most `digits` digits a word.
template <int digits>
size_t match_llama3(std::string_view text, size_t from) {
  if (text[from] == '\'')
    if (const size_t end = caseless_contraction_end(text, from)) return end;
  const Seen seen = look(text, from);
  if (seen.kind == kLetter) return run_end(text, seen.end, kLetter);
  if (seen.kind == kNumber) {
    size_t end = seen.end;
    for (int i = 1; i < digits && end < text.size(); ++i) {
      const Seen next = look(text, end);
      if (next.kind != kNumber) break;
      end = next.end;
    }
    return end;
  }
  const bool followed = seen.end < text.size();
  const Seen next = followed ? look(text, seen.end) : Seen{kSpace, 0};
  if (next.kind == kLetter && !is_line_end(text[from])) return run_end(text, next.end, kLetter);
  if (seen.kind == kOther || (text[from] == ' ' && next.kind == kOther)) {
    size_t end = run_end(text, seen.end, kOther);
    while (end < text.size() && is_line_end(text[end])) ++end;
    return end;
  }
  return lines_end(text, from);
}

struct Row {
  std::string_view expression;
  WordMatcher match;
};
constexpr Row kMatchers[] = {
    {patterns::kGpt2, match_gpt2},
    {patterns::kLlama3, match_llama3<3>},
    {patterns::kQwen2, match_llama3<1>},
};

}  // namespace

WordMatcher find_word_matcher(std::string_view expression) {
  for (const Row& row : kMatchers)
    if (row.expression == expression) return row.match;
  return nullptr;
}

}  // namespace attar
