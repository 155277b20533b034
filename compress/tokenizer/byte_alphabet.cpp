#include <array>

#include "compress/tokenizer/components.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

/// Printable characters of Latin-1 stand for themselves, the other bytes for U+0100 onwards, in
/// order.
struct Alphabet {
  std::array<std::string, 256> text;
  std::array<int, 512> byte;

  Alphabet() {
    byte.fill(-1);
    char32_t next = 256;
    for (unsigned b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
      const char32_t character = printable ? b : next++;
      append_utf8(text[b], character);
      byte[character] = static_cast<int>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet instance;
  return instance;
}

}  // namespace

const std::string& byte_character(unsigned char byte) {
  return alphabet().text[byte];
}

int byte_of_character(char32_t character) {
  return character < 512 ? alphabet().byte[character] : -1;
}

void append_byte_characters(std::string& out, std::string_view text) {
  const Alphabet& letters = alphabet();
  for (const char c : text) {
    const std::string& letter = letters.text[static_cast<unsigned char>(c)];
    out.push_back(letter[0]);
    if (letter.size() > 1) out.push_back(letter[1]);
  }
}

std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  if (from.empty()) return std::string(text);
  result.reserve(text.size());
  size_t at = 0;
  for (size_t found; (found = text.find(from, at)) != std::string_view::npos;
       at = found + from.size()) {
    result += text.substr(at, found - at);
    result += to;
  }
  result += text.substr(at);
  return result;
}

}  // namespace attar
