// Byte pair encoding (Sennrich et al. 2016, section 3.2): the pair of neighbours with the lowest
// rank is merged, the leftmost first, until no pair has a rank. With a priority queue over a linked
// list a word of n characters takes O(n log n).
#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "compress/base/error.h"
#include "compress/tokenizer/model.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

constexpr std::string_view kBlock = "\xE2\x96\x81";  // ▁, a space in SentencePiece's vocabularies

struct Merge {
  uint32_t rank;
  int32_t id;
};

/// (left, right) -> merge; open addressing, at most half full.
class MergeTable {
 public:
  explicit MergeTable(size_t count)
      : slots_(std::bit_ceil(std::max<size_t>(2 * count, 16))), mask_(slots_.size() - 1) {}

  void set(int32_t left, int32_t right, Merge merge) {
    Slot& slot = slots_[place(key(left, right))];
    slot = {key(left, right), merge};
  }
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

struct Symbol {
  int32_t id;  // -1: merged into its left neighbour
  int32_t previous, next;
};

struct Candidate {
  uint32_t rank;
  int32_t at;  // the left symbol
  int32_t id;  // of the merged token

  /// For a heap with the smallest on top.
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : at > other.at;
  }
};

/// The buffers of one call.
struct Workspace {
  std::vector<Symbol> symbols;
  std::vector<Candidate> queue;
};

class Bpe final : public TokenModel {
 public:
  explicit Bpe(const ModelSource& source);
  void encode(const Pieces& pieces, std::vector<int32_t>& ids) const override;
  std::string fingerprint() const override;

 private:
  struct Rule {
    int32_t left, right, id;
  };

  void read_merges(const ModelSource& source);
  void add_spaced_merge(std::string_view both, const ModelSource& source);
  void add_merge(std::string_view left, std::string_view right, const ModelSource& source);
  void find_cut();
  void encode_word(std::string_view word, Workspace& work, std::vector<int32_t>& ids) const;
  void spell(std::string_view word, std::vector<Symbol>& symbols) const;
  int32_t character_id(std::string_view word, size_t begin, size_t end) const;
  void merge(Workspace& work) const;
  void consider(int32_t left, Workspace& work) const;

  std::string unknown_, prefix_, suffix_, where_;
  bool fuse_unknown_, byte_fallback_, ignore_merges_;
  int32_t unknown_id_ = -1;
  std::vector<int32_t> bytes_;      // with byte_fallback_: of <0x00> … <0xFF>
  std::vector<int32_t> two_bytes_;  // ids of the characters below U+0800
  std::vector<Rule> rules_;         // by rank
  MergeTable table_{0};
  bool cut_at_blocks_ = false;
};

Bpe::Bpe(const ModelSource& source) : where_(source.fields.where()) {
  Fields& fields = source.fields;
  if (fields.find("dropout") && *fields.find("dropout") != 0.0)
    throw bad_input("dropout makes ids random and is not supported", fields.where("dropout"),
                    "set it to null");
  unknown_ = fields.text("unk_token", "");
  prefix_ = fields.text("continuing_subword_prefix", "");
  suffix_ = fields.text("end_of_word_suffix", "");
  fuse_unknown_ = fields.flag("fuse_unk", false);
  byte_fallback_ = fields.flag("byte_fallback", false);
  ignore_merges_ = fields.flag("ignore_merges", false);
  if (!source.merges) throw bad_input("the key \"merges\" is missing", fields.where());
  read_vocabulary(source);
  unknown_id_ = unknown_.empty() ? -1 : vocabulary_.lookup(unknown_);
  if (byte_fallback_) bytes_ = byte_tokens();
  two_bytes_.resize(0x800);
  for (char32_t c = 0; c < 0x800; ++c) {
    std::string text;
    append_utf8(text, c);
    two_bytes_[c] = vocabulary_.lookup(text);
  }
  read_merges(source);
  table_ = MergeTable(rules_.size());
  for (size_t rank = 0; rank < rules_.size(); ++rank)  // of two equal rules the later one counts
    table_.set(rules_[rank].left, rules_[rank].right,
               {static_cast<uint32_t>(rank), rules_[rank].id});
  find_cut();
}

void Bpe::read_merges(const ModelSource& source) {
  JsonCursor cursor = source.cursor(source.merges);
  rules_.reserve(vocabulary_.count() * 2);
  std::string left;
  cursor.array([&] {
    if (cursor.peek() == '[') {  // ["a", "b"]
      int part = 0;
      std::string_view right;
      cursor.array([&] {
        if (part == 0) left = cursor.string();
        if (part == 1) right = cursor.string();
        if (part++ > 1) cursor.skip();
      });
      if (part != 2)
        throw bad_input(fmt::format("merge {} has {} parts instead of 2", rules_.size(), part),
                        source.fields.where("merges"));
      return add_merge(left, right, source);
    }
    add_spaced_merge(cursor.string(), source);
  });
}

/// "a b". Some vocabularies have tokens with spaces inside, for which one place must make sense.
void Bpe::add_spaced_merge(std::string_view both, const ModelSource& source) {
  const size_t first = both.find(' ');
  size_t space = first;
  if (first != both.rfind(' ')) {
    int places = 0;
    for (size_t at = first; at != std::string_view::npos; at = both.find(' ', at + 1)) {
      const std::string_view left = both.substr(0, at), right = both.substr(at + 1);
      if (vocabulary_.lookup(left) < 0 || vocabulary_.lookup(right) < 0) continue;
      if (vocabulary_.lookup(std::string(left).append(right)) < 0) continue;
      space = at;
      ++places;
    }
    if (places != 1) space = std::string_view::npos;
  }
  if (space == std::string_view::npos)
    throw bad_input(
        fmt::format("merge {} (\"{}\") is not two tokens parted by a space", rules_.size(), both),
        source.fields.where("merges"));
  add_merge(both.substr(0, space), both.substr(space + 1), source);
}

void Bpe::add_merge(std::string_view left, std::string_view right, const ModelSource& source) {
  const auto id_of = [&](std::string_view token) {
    const int32_t id = vocabulary_.lookup(token);
    if (id < 0)
      throw bad_input(fmt::format("merge {} (\"{}\" and \"{}\") needs the token \"{}\", which the "
                                  "vocabulary lacks",
                                  rules_.size(), left, right, token),
                      source.fields.where("merges"));
    return id;
  };
  const int32_t left_id = id_of(left), right_id = id_of(right);
  char joined[256];  // nearly all tokens are short
  const std::string_view rest = right.starts_with(prefix_) ? right.substr(prefix_.size()) : right;
  const size_t size = left.size() + rest.size();
  if (size > sizeof joined) {
    rules_.push_back({left_id, right_id, id_of(std::string(left) + std::string(rest))});
    return;
  }
  std::memcpy(joined, left.data(), left.size());
  std::memcpy(joined + left.size(), rest.data(), rest.size());
  rules_.push_back({left_id, right_id, id_of({joined, size})});
}

/// Where no rule joins "x" and "▁y", nothing is ever merged across the border before a ▁: a text
/// may be cut there into words that are merged on their own, which is the same and much faster.
void Bpe::find_cut() {
  if (!prefix_.empty() || !suffix_.empty() || ignore_merges_ || vocabulary_.lookup(kBlock) < 0)
    return;
  cut_at_blocks_ = std::none_of(rules_.begin(), rules_.end(), [&](const Rule& rule) {
    return !vocabulary_.token(rule.left).ends_with(kBlock) &&
           vocabulary_.token(rule.right).starts_with(kBlock);
  });
}

void Bpe::encode(const Pieces& pieces, std::vector<int32_t>& ids) const {
  Workspace work;
  for (const Piece& piece : pieces.list) {
    std::string_view word = pieces.at(piece);
    while (cut_at_blocks_) {
      size_t cut = 0;
      while (word.substr(cut).starts_with(kBlock)) cut += kBlock.size();
      cut = word.find(kBlock, cut);
      if (cut == std::string_view::npos) break;
      encode_word(word.substr(0, cut), work, ids);
      word.remove_prefix(cut);
    }
    encode_word(word, work, ids);
  }
}

void Bpe::encode_word(std::string_view word, Workspace& work, std::vector<int32_t>& ids) const {
  if (ignore_merges_) {
    if (const int32_t id = vocabulary_.lookup(word); id >= 0) {
      ids.push_back(id);
      return;
    }
  }
  spell(word, work.symbols);
  merge(work);
  for (const Symbol& symbol : work.symbols)
    if (symbol.id >= 0) ids.push_back(symbol.id);
}

/// The id of the character at word[begin, end), with the prefix and suffix that its place asks for;
/// -1: none.
int32_t Bpe::character_id(std::string_view word, size_t begin, size_t end) const {
  const bool bare = (prefix_.empty() || begin == 0) && (suffix_.empty() || end < word.size());
  if (bare && end - begin <= 2) {
    size_t at = begin;
    return two_bytes_[next_character(word, at)];
  }
  if (bare) return vocabulary_.lookup(word.substr(begin, end - begin));
  std::string text = begin ? prefix_ : "";
  text += word.substr(begin, end - begin);
  if (end == word.size()) text += suffix_;
  return vocabulary_.lookup(text);
}

/// One symbol a character; an unknown one becomes its bytes, else the unknown token (one for a
/// whole run of them with fuse_unk), else nothing, as the reference implementation has it.
void Bpe::spell(std::string_view word, std::vector<Symbol>& symbols) const {
  symbols.clear();
  const auto add = [&](int32_t id) {
    const auto at = static_cast<int32_t>(symbols.size());
    symbols.push_back({id, at - 1, at + 1});
  };
  bool unknown = false;  // one stands to be added
  for (size_t begin = 0, end; begin < word.size(); begin = end) {
    end = begin + utf8_length(word[begin]);
    const int32_t id = character_id(word, begin, end);
    if (id >= 0) {
      if (unknown) add(unknown_id_);
      unknown = false;
      add(id);
      continue;
    }
    const auto byte_id = [&](size_t i) { return bytes_[static_cast<unsigned char>(word[i])]; };
    bool spelled = byte_fallback_;
    for (size_t i = begin; spelled && i < end; ++i) spelled = byte_id(i) >= 0;
    if (spelled) {
      for (size_t i = begin; i < end; ++i) add(byte_id(i));
      continue;
    }
    if (unknown_.empty()) continue;
    if (unknown_id_ < 0)
      throw bad_input(fmt::format("the text has the character \"{}\", and the unknown token \"{}\" "
                                  "is not in the vocabulary",
                                  word.substr(begin, end - begin), unknown_),
                      where_);
    if (unknown && !fuse_unknown_) add(unknown_id_);
    unknown = true;
  }
  if (unknown) add(unknown_id_);
  if (!symbols.empty()) symbols.back().next = -1;
}

/// Queues the merge of the symbol `left` with its right neighbour, if they have one.
void Bpe::consider(int32_t left, Workspace& work) const {
  const Symbol& symbol = work.symbols[static_cast<size_t>(left)];
  if (symbol.next < 0) return;
  const int32_t right = work.symbols[static_cast<size_t>(symbol.next)].id;
  if (const Merge* merge = table_.find(symbol.id, right))
    work.queue.push_back({merge->rank, left, merge->id});
}

void Bpe::merge(Workspace& work) const {
  auto& [symbols, queue] = work;
  queue.clear();
  for (size_t i = 0; i + 1 < symbols.size(); ++i) consider(static_cast<int32_t>(i), work);
  std::make_heap(queue.begin(), queue.end());
  while (!queue.empty()) {
    const Candidate best = queue.front();
    std::pop_heap(queue.begin(), queue.end());
    queue.pop_back();
    Symbol& left = symbols[static_cast<size_t>(best.at)];
    if (left.id < 0 || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    const Merge* current = table_.find(left.id, right.id);
    if (!current || current->id != best.id) continue;  // one of the two has changed since
    left.id = best.id;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = best.at;
    for (const int32_t at : {left.previous, best.at}) {
      const size_t queued = queue.size();
      if (at >= 0) consider(at, work);
      if (queue.size() > queued) std::push_heap(queue.begin(), queue.end());
    }
  }
}

std::string Bpe::fingerprint() const {
  return {reinterpret_cast<const char*>(rules_.data()), rules_.size() * sizeof(Rule)};
}

}  // namespace

std::unique_ptr<TokenModel> make_bpe(const ModelSource& source) {
  return std::make_unique<Bpe>(source);
}

}  // namespace attar
