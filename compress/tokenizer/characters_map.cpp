#include "compress/tokenizer/characters_map.h"

#include <fmt/core.h>

#include <cstring>

#include "compress/base/error.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

// A unit of the trie: a label (8 bits, and a bit that labels never have), the offset to its
// children, and whether its first child is a value.
uint32_t label(uint32_t unit) {
  return unit & 0x800000ffu;
}
uint32_t offset(uint32_t unit) {
  return unit >> 10 << ((unit & 0x200u) >> 6);
}
bool has_value(uint32_t unit) {
  return unit >> 8 & 1u;
}
uint32_t value(uint32_t unit) {
  return unit & 0x7fffffffu;
}

}  // namespace

CharactersMap::CharactersMap(std::string_view blob, const std::string& where) : where_(where) {
  uint32_t size = 0;
  if (blob.size() >= sizeof size) std::memcpy(&size, blob.data(), sizeof size);
  if (size == 0 || size % sizeof(uint32_t) != 0 || blob.size() - sizeof size <= size)
    throw bad_input("the precompiled character map is damaged: its trie does not fit into it",
                    where);
  units_.resize(size / sizeof(uint32_t));
  std::memcpy(units_.data(), blob.data() + sizeof size, size);
  replacements_ = blob.substr(sizeof size + size);
  if (replacements_.back() != '\0' || find_invalid_utf8(replacements_))
    throw bad_input("the precompiled character map is damaged: its replacements are no UTF-8 text",
                    where);
}

std::string_view CharactersMap::replacement(uint32_t at) const {
  const auto inside = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };
  if (at >= replacements_.size() || inside(replacements_[at]))
    throw bad_input(
        fmt::format("the precompiled character map is damaged: no replacement begins at byte {}",
                    at),
        where_);
  return replacements_.c_str() + at;
}

std::optional<CharactersMap::Match> CharactersMap::find(std::string_view text, bool longest) const {
  std::optional<Match> match;
  size_t node = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    node ^= byte;
    if (node >= units_.size() || label(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= offset(unit);
    if (!has_value(unit) || node >= units_.size()) continue;
    match = {i + 1, replacement(value(units_[node]))};
    if (!longest) break;
  }
  return match;
}

}  // namespace attar
