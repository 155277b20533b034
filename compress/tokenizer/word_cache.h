// Short words and the ids they became: in a natural text nearly every word has been seen before.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace attar {

/// One a thread, so that it needs no locks; it serves one model at a time and forgets the last
/// one's words when another comes. Direct-mapped: a word takes the place of the one that stood
/// there.
class WordCache {
 public:
  /// A number for a model, which no other one ever has.
  static uint64_t new_owner() {
    static std::atomic<uint64_t> next{1};
    return next.fetch_add(1);
  }
  /// This thread's cache for the model of that number.
  static WordCache& of(uint64_t owner) {
    thread_local WordCache cache;
    if (cache.owner_ != owner) {
      cache.entries_.assign(kEntries, {});
      cache.owner_ = owner;
    }
    return cache;
  }

  /// A word of 1 to 15 bytes: these bytes, zeros, and its length in the last byte.
  class Key {
   public:
    Key() = default;
    explicit Key(std::string_view word) {
      if (word.empty() || word.size() > 15) return;
      char bytes[16] = {};
      std::memcpy(bytes, word.data(), word.size());
      bytes[15] = static_cast<char>(word.size());
      std::memcpy(&low_, bytes, 8);
      std::memcpy(&high_, bytes + 8, 8);
    }
    bool fits() const { return high_ != 0; }
    bool operator==(const Key&) const = default;
    size_t place() const {
      const uint64_t mixed = (low_ ^ (high_ * 0xbf58476d1ce4e5b9ull)) * 0x9e3779b97f4a7c15ull;
      return static_cast<size_t>(mixed >> (64 - kBits));
    }

   private:
    uint64_t low_ = 0, high_ = 0;
  };

  /// Appends the ids of a word that is known.
  bool append(const Key& key, std::vector<int32_t>& ids) const {
    const Entry& entry = entries_[key.place()];
    if (entry.key != key) return false;
    ids.insert(ids.end(), entry.ids, entry.ids + entry.count);
    return true;
  }
  /// Remembers a word; long lists of ids have no room.
  void store(const Key& key, std::span<const int32_t> ids) {
    if (ids.size() > kIds) return;
    Entry& entry = entries_[key.place()];
    entry.key = key;
    entry.count = static_cast<int32_t>(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) entry.ids[i] = ids[i];
  }

 private:
  static constexpr int kBits = 14;
  static constexpr size_t kEntries = size_t{1} << kBits, kIds = 3;
  struct Entry {
    Key key;
    int32_t ids[kIds] = {};
    int32_t count = 0;
  };

  uint64_t owner_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace attar
