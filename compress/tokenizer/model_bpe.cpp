// BPE (Sennrich et al. 2016, section 3.2): join the pair of neighbours with the lowest rank until
// none has one; of several equal pairs the leftmost. With a priority queue over a linked list a
// word of n characters takes O(n log n).
#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "compress/base/error.h"
#include "compress/tokenizer/bpe_merges.h"
#include "compress/tokenizer/model.h"
#include "compress/tokenizer/unicode.h"
#include "compress/tokenizer/word_cache.h"

namespace attar {
namespace {

constexpr std::string_view kBlock = "\xE2\x96\x81";  // ▁, a space in SentencePiece's vocabularies

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
  std::map<int32_t, std::pair<int32_t, int32_t>> parts;  // of unused tokens: what was last joined
};

class Bpe final : public TokenModel {
 public:
  explicit Bpe(const ModelSource& source);
  void encode(const Pieces& pieces, std::vector<int32_t>& ids) const override;
  std::string fingerprint() const override;

 private:
  void find_cut();
  void encode_word(std::string_view word, Workspace& work, WordCache& cache,
                   std::vector<int32_t>& ids) const;
  void spell(std::string_view word, std::vector<Symbol>& symbols) const;
  int32_t character_id(std::string_view word, size_t begin, size_t end) const;
  void merge(Workspace& work) const;
  void consider(int32_t left, Workspace& work) const;
  void append_scored(int32_t id, const Workspace& work, size_t word_begin,
                     std::vector<int32_t>& ids) const;
  bool append_bytes(std::string_view character, std::vector<int32_t>& ids) const;
  [[noreturn]] void throw_unspellable(std::string_view character) const;
  bool is_unused(int32_t id) const {
    return static_cast<size_t>(id) < kinds_.size() &&
           kinds_[static_cast<size_t>(id)] == TokenKind::unused;
  }

  std::string unknown_, prefix_, suffix_, where_;
  bool fuse_unknown_, byte_fallback_, ignore_merges_;
  bool scored_ = false;           // merges follow from scores
  std::vector<TokenKind> kinds_;  // when scored_; empty: all normal
  int32_t unknown_id_ = -1;
  std::vector<int32_t> bytes_;      // with byte_fallback_: of <0x00> … <0xFF>
  std::vector<int32_t> two_bytes_;  // ids of the characters below U+0800
  std::vector<MergeRule> rules_;
  MergeTable table_;
  bool cut_at_blocks_ = false;
  uint64_t serial_ = WordCache::new_owner();
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
  if (!source.lists && !source.merges)
    throw bad_input("the key \"merges\" is missing", fields.where());
  read_vocabulary(source);
  scored_ = source.lists && source.lists->merges.empty() && !source.lists->scores.empty();
  if (scored_) kinds_ = source.lists->kinds;
  unknown_id_ = unknown_.empty() ? -1 : vocabulary_.lookup(unknown_);
  if (byte_fallback_) bytes_ = byte_tokens();
  two_bytes_.resize(0x800);
  for (char32_t c = 0; c < 0x800; ++c) {
    std::string text;
    append_utf8(text, c);
    const int32_t id = vocabulary_.lookup(text);
    two_bytes_[c] = id >= 0 && scored_ && !source.lists->spells(id) ? -1 : id;
  }
  rules_ = scored_ ? merges_from_scores(*source.lists, vocabulary_)
                   : read_merges(source, vocabulary_, prefix_);
  table_ = MergeTable(rules_);
  find_cut();
}

/// Where no rule joins "x" and "▁y", nothing is ever merged across the border before a ▁: a text
/// may be cut there into words that are merged on their own, which is the same and much faster.
void Bpe::find_cut() {
  if (!prefix_.empty() || !suffix_.empty() || ignore_merges_ || vocabulary_.lookup(kBlock) < 0)
    return;
  const auto text = [&](int32_t id) {  // a character that is no token is no ▁ either
    return vocabulary_.has(id) ? vocabulary_.token(id) : std::string_view();
  };
  cut_at_blocks_ = std::none_of(rules_.begin(), rules_.end(), [&](const MergeRule& rule) {
    return !text(rule.left).ends_with(kBlock) && text(rule.right).starts_with(kBlock);
  });
}

void Bpe::encode(const Pieces& pieces, std::vector<int32_t>& ids) const {
  Workspace work;
  WordCache& cache = WordCache::of(serial_);
  for (const Piece& piece : pieces.list) {
    std::string_view word = pieces.at(piece);
    while (cut_at_blocks_) {
      size_t cut = 0;
      while (word.substr(cut).starts_with(kBlock)) cut += kBlock.size();
      cut = word.find(kBlock, cut);
      if (cut == std::string_view::npos) break;
      encode_word(word.substr(0, cut), work, cache, ids);
      word.remove_prefix(cut);
    }
    encode_word(word, work, cache, ids);
  }
}

void Bpe::encode_word(std::string_view word, Workspace& work, WordCache& cache,
                      std::vector<int32_t>& ids) const {
  const WordCache::Key key(word);
  if (key.fits() && cache.append(key, ids)) return;
  const size_t begin = ids.size();
  const int32_t whole = ignore_merges_ ? vocabulary_.lookup(word) : -1;
  if (whole >= 0) {
    ids.push_back(whole);
  } else {
    spell(word, work.symbols);
    merge(work);
    for (const Symbol& symbol : work.symbols) {
      if (symbol.id < 0) continue;
      if (scored_)
        append_scored(symbol.id, work, begin, ids);
      else
        ids.push_back(symbol.id);
    }
  }
  if (key.fits()) cache.store(key, std::span(ids).subspan(begin));
}

/// The id of the character at word[begin, end), with the prefix and suffix that its place asks for;
/// -1: none.
int32_t Bpe::character_id(std::string_view word, size_t begin, size_t end) const {
  const bool bare = (prefix_.empty() || begin == 0) && (suffix_.empty() || end < word.size());
  if (bare && end - begin <= 2) {
    size_t at = begin;
    return two_bytes_[next_character(word, at)];
  }
  if (bare) {
    const int32_t id = vocabulary_.lookup(word.substr(begin, end - begin));
    const bool spells = kinds_.empty() || id < 0 ||
                        kinds_[static_cast<size_t>(id)] == TokenKind::normal ||
                        kinds_[static_cast<size_t>(id)] == TokenKind::user_defined || is_unused(id);
    return spells ? id : -1;
  }
  std::string text = begin ? prefix_ : "";
  text += word.substr(begin, end - begin);
  if (end == word.size()) text += suffix_;
  return vocabulary_.lookup(text);
}

/// One symbol a character. With scores an unknown one has an id of its own until all is merged;
/// else it becomes its bytes, else the unknown token (one for a whole run of them with fuse_unk),
/// else nothing, as the reference implementation has it.
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
    if (scored_) {
      size_t at = begin;
      add(static_cast<int32_t>(vocabulary_.size()) +
          static_cast<int32_t>(next_character(word, at)));
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
    if (unknown_id_ < 0) throw_unspellable(word.substr(begin, end - begin));
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
  const MergeTable::Merge* merge = table_.find(symbol.id, right);
  if (!merge) return;
  work.queue.push_back({merge->rank, left, merge->id});
  if (is_unused(merge->id)) work.parts[merge->id] = {symbol.id, right};
}

void Bpe::merge(Workspace& work) const {
  auto& [symbols, queue, parts] = work;
  queue.clear();
  parts.clear();
  for (size_t i = 0; i + 1 < symbols.size(); ++i) consider(static_cast<int32_t>(i), work);
  std::make_heap(queue.begin(), queue.end());
  while (!queue.empty()) {
    const Candidate best = queue.front();
    std::pop_heap(queue.begin(), queue.end());
    queue.pop_back();
    Symbol& left = symbols[static_cast<size_t>(best.at)];
    if (left.id < 0 || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    const MergeTable::Merge* current = table_.find(left.id, right.id);
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

/// SentencePiece's end of the work: unused tokens fall apart into what they were joined from, and
/// characters without a token into bytes or the unknown token, one for a run of them.
void Bpe::append_scored(int32_t id, const Workspace& work, size_t word_begin,
                        std::vector<int32_t>& ids) const {
  if (id >= vocabulary_.size()) {
    std::string character;
    append_utf8(character, static_cast<char32_t>(id - static_cast<int32_t>(vocabulary_.size())));
    if (append_bytes(character, ids)) return;
    if (unknown_id_ < 0) throw_unspellable(character);
    if (ids.size() > word_begin && ids.back() == unknown_id_) return;
    ids.push_back(unknown_id_);
    return;
  }
  const auto parts = is_unused(id) ? work.parts.find(id) : work.parts.end();
  if (parts == work.parts.end()) {
    ids.push_back(id);
    return;
  }
  append_scored(parts->second.first, work, word_begin, ids);
  append_scored(parts->second.second, work, word_begin, ids);
}

/// The character's bytes, if all have a token.
bool Bpe::append_bytes(std::string_view character, std::vector<int32_t>& ids) const {
  if (!byte_fallback_) return false;
  const auto byte_id = [&](char c) { return bytes_[static_cast<unsigned char>(c)]; };
  for (const char c : character)
    if (byte_id(c) < 0) return false;
  for (const char c : character) ids.push_back(byte_id(c));
  return true;
}

void Bpe::throw_unspellable(std::string_view character) const {
  throw bad_input(fmt::format("the text has the character \"{}\", and the unknown token \"{}\" is "
                              "not in the vocabulary",
                              character, unknown_),
                  where_);
}

std::string Bpe::fingerprint() const {
  return {reinterpret_cast<const char*>(rules_.data()), rules_.size() * sizeof(MergeRule)};
}

}  // namespace

std::unique_ptr<TokenModel> make_bpe(const ModelSource& source) {
  return std::make_unique<Bpe>(source);
}

}  // namespace attar
