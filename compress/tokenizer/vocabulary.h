// Tokens and their ids, both ways.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attar {

/// A mix of all bytes of `text`, the same on every machine.
uint64_t hash_text(std::string_view text);

class Vocabulary {
 public:
  static constexpr int64_t kLargestId = (int64_t{1} << 24) - 1;

  enum class Added { yes, token_twice, id_twice, id_outside };
  /// Ids may come in any order and leave gaps.
  Added add(std::string_view token, int64_t id);
  /// Makes room for about this many tokens.
  void reserve(size_t tokens);

  std::optional<int32_t> find(std::string_view token) const {
    const int32_t id = lookup(token);
    return id < 0 ? std::nullopt : std::optional(id);
  }
  /// find(), -1 for none.
  int32_t lookup(std::string_view token) const;
  bool has(int64_t id) const {
    return id >= 0 && id < size() && entries_[static_cast<size_t>(id)].length >= 0;
  }
  /// The token of an id that has() one.
  std::string_view token(int32_t id) const {
    const Entry& entry = entries_[static_cast<size_t>(id)];
    return {bytes_.data() + entry.begin, static_cast<size_t>(entry.length)};
  }
  /// One more than the highest id.
  int64_t size() const { return static_cast<int64_t>(entries_.size()); }
  /// How many tokens there are.
  size_t count() const { return count_; }

 private:
  struct Entry {
    uint32_t begin = 0;
    int32_t length = -1;  // no token
  };
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };
  void rehash(size_t slots);

  std::string bytes_;
  std::vector<Entry> entries_;  // by id
  std::vector<Slot> slots_;     // open addressing, at most half full
  size_t count_ = 0;
};

}  // namespace attar
