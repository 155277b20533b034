#include "compress/tokenizer/vocabulary.h"

#include <bit>
#include <cstring>

namespace attar {
namespace {

uint64_t mix(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

}  // namespace

uint64_t hash_text(std::string_view text) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15ull;
  uint64_t state = text.size() * kOdd + 1;
  const char* at = text.data();
  size_t left = text.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    state = mix(state ^ word, kOdd);
  }
  uint64_t tail = 0;
  if (left) std::memcpy(&tail, at, left);
  return mix(state ^ tail, 0xbf58476d1ce4e5b9ull);
}

void Vocabulary::reserve(size_t tokens) {
  entries_.reserve(tokens);
  bytes_.reserve(tokens * 8);
  if (tokens * 2 > slots_.size()) rehash(std::bit_ceil(tokens * 2));
}

void Vocabulary::rehash(size_t slots) {
  slots_.assign(slots, {});
  for (size_t id = 0; id < entries_.size(); ++id) {
    if (entries_[id].length < 0) continue;
    const uint64_t hash = hash_text(token(static_cast<int32_t>(id)));
    size_t at = hash & (slots - 1);
    while (slots_[at].id >= 0) at = (at + 1) & (slots - 1);
    slots_[at] = {static_cast<uint32_t>(hash >> 32), static_cast<int32_t>(id)};
  }
}

Vocabulary::Added Vocabulary::add(std::string_view text, int64_t id) {
  if (id < 0 || id > kLargestId) return Added::id_outside;
  if (has(id)) return Added::id_twice;
  if (2 * (count_ + 1) > slots_.size()) rehash(std::bit_ceil(4 * (count_ + 8)));
  const uint64_t hash = hash_text(text);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  size_t at = hash & (slots_.size() - 1);
  for (; slots_[at].id >= 0; at = (at + 1) & (slots_.size() - 1))
    if (slots_[at].tag == tag && token(slots_[at].id) == text) return Added::token_twice;
  slots_[at] = {tag, static_cast<int32_t>(id)};
  if (id >= size()) entries_.resize(static_cast<size_t>(id) + 1);
  entries_[static_cast<size_t>(id)] = {static_cast<uint32_t>(bytes_.size()),
                                       static_cast<int32_t>(text.size())};
  bytes_ += text;
  ++count_;
  return Added::yes;
}

int32_t Vocabulary::lookup(std::string_view text) const {
  if (slots_.empty()) return -1;
  const uint64_t hash = hash_text(text);
  const auto tag = static_cast<uint32_t>(hash >> 32);
  for (size_t at = hash & (slots_.size() - 1); slots_[at].id >= 0;
       at = (at + 1) & (slots_.size() - 1))
    if (slots_[at].tag == tag && token(slots_[at].id) == text) return slots_[at].id;
  return -1;
}

}  // namespace attar
