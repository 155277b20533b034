// What a BPE vocabulary may join: the rules as their file gives them, and a table to look them up.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "compress/tokenizer/model.h"

namespace attar {

/// Two neighbours that become one token. The lowest rank is joined first, of equal ones the
/// leftmost.
struct MergeRule {
  int32_t left, right, id;
  uint32_t rank;
};

/// "merges" of a tokenizer.json or of the lists, each with its place as its rank. `prefix` is what
/// the right one loses (continuing_subword_prefix). bad_input for a rule whose tokens do not exist.
std::vector<MergeRule> read_merges(const ModelSource& source, const Vocabulary& vocabulary,
                                   std::string_view prefix);

/// The rules of a vocabulary that ranks tokens instead of merges (SentencePiece, tiktoken): any two
/// neighbours join whose text is a token, the highest score first. A character that is no token
/// itself has the id vocabulary.size() + its code.
std::vector<MergeRule> merges_from_scores(const VocabularyLists& lists,
                                          const Vocabulary& vocabulary);

/// (left, right) -> rank and id; open addressing, at most three quarters full.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank;
    int32_t id;
  };

  MergeTable() : MergeTable(std::vector<MergeRule>()) {}
  /// Of two rules for one pair the later one counts.
  explicit MergeTable(const std::vector<MergeRule>& rules);

  /// Null when the pair has no merge.
  const Merge* find(int32_t left, int32_t right) const {
    const Slot& slot = slots_[place(key(left, right))];
    return slot.key == kEmpty ? nullptr : &slot.merge;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge{0, 0};
  };
  static uint64_t key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }
  size_t place(uint64_t wanted) const {
    size_t at = (wanted * 0x9e3779b97f4a7c15ull >> 20) & mask_;
    while (slots_[at].key != kEmpty && slots_[at].key != wanted) at = (at + 1) & mask_;
    return at;
  }

  std::vector<Slot> slots_;
  size_t mask_;
};

}  // namespace attar
