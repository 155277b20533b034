// UTF-8 and the character classes that tokenizers ask for.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace attar {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

/// The first byte at which `text` stops being well-formed UTF-8 (Unicode 15, table 3-7).
std::optional<size_t> find_invalid_utf8(std::string_view text);
/// `bytes` with every ill-formed stretch (maximal subpart) replaced by U+FFFD.
std::string lossy_utf8(std::string_view bytes);

/// Bytes of the character that `first` begins, in well-formed text.
inline size_t utf8_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}
/// The character at `at`, which moves behind it. `text` is well-formed.
char32_t next_character(std::string_view text, size_t& at);
/// Where the grapheme that begins at `at` ends (extended grapheme cluster, Unicode annex 29).
size_t grapheme_end(std::string_view text, size_t at);
void append_utf8(std::string& text, char32_t character);

bool is_white_space(char32_t character);      // White_Space
bool is_letter(char32_t character);           // L
bool is_numeric(char32_t character);          // N
bool is_punctuation(char32_t character);      // P, and all of ASCII's punctuation and symbols
bool is_combining_mark(char32_t character);   // M
bool is_nonspacing_mark(char32_t character);  // Mn
bool is_other(char32_t character);            // Cc, Cf, Cn, Co
bool is_word_character(
    char32_t character);  // Alphabetic, M, Nd, Pc, joiners: \w of Unicode annex 18
/// Full lower case of one character (no context), appended.
void append_lowercase(std::string& text, char32_t character);

enum class NormalForm { nfc, nfd, nfkc, nfkd };
/// Normalizes well-formed text (Unicode annex 15).
std::string normalized(std::string_view text, NormalForm form);

}  // namespace attar
