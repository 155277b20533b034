#include "compress/tokenizer/bpe_merges.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "compress/base/error.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

/// Reads merges one after the other.
class Reader {
 public:
  Reader(const ModelSource& source, const Vocabulary& vocabulary, std::string_view prefix)
      : source_(source), vocabulary_(vocabulary), prefix_(prefix) {
    rules_.reserve(vocabulary.count() * 2);
  }

  std::vector<MergeRule> run() {
    if (source_.lists)
      for (const std::string& merge : source_.lists->merges) add_spaced(merge);
    else
      read_json();
    return std::move(rules_);
  }

 private:
  void read_json() {
    JsonCursor cursor = source_.cursor(source_.merges);
    std::string left;
    cursor.array([&] {
      if (cursor.peek() != '[') return add_spaced(cursor.string());
      int part = 0;  // of ["a", "b"]
      std::string_view right;
      cursor.array([&] {
        if (part == 0) left = cursor.string();
        if (part == 1) right = cursor.string();
        if (part++ > 1) cursor.skip();
      });
      if (part != 2)
        throw bad_input(fmt::format("merge {} has {} parts instead of 2", rules_.size(), part),
                        source_.fields.where("merges"));
      add(left, right);
    });
  }

  /// "a b". Some vocabularies have tokens with spaces inside, for which one place must make sense.
  void add_spaced(std::string_view both) {
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
          source_.fields.where("merges"));
    add(both.substr(0, space), both.substr(space + 1));
  }

  void add(std::string_view left, std::string_view right) {
    const auto id_of = [&](std::string_view token) {
      const int32_t id = vocabulary_.lookup(token);
      if (id < 0)
        throw bad_input(
            fmt::format("merge {} (\"{}\" and \"{}\") needs the token \"{}\", which the "
                        "vocabulary lacks",
                        rules_.size(), left, right, token),
            source_.fields.where("merges"));
      return id;
    };
    const int32_t left_id = id_of(left), right_id = id_of(right);
    char joined[256];  // nearly all tokens are short
    const std::string_view rest = right.starts_with(prefix_) ? right.substr(prefix_.size()) : right;
    const size_t size = left.size() + rest.size();
    const auto rank = static_cast<uint32_t>(rules_.size());
    if (size > sizeof joined) {
      rules_.push_back({left_id, right_id, id_of(std::string(left) + std::string(rest)), rank});
      return;
    }
    std::memcpy(joined, left.data(), left.size());
    std::memcpy(joined + left.size(), rest.data(), rest.size());
    if (!is_next({joined, size})) last_ = id_of({joined, size});
    rules_.push_back({left_id, right_id, last_, rank});
  }

  /// Merges mostly stand in the order of the tokens that they make, so that the last one's or the
  /// next is likely, and is at hand where a look-up reaches for cold memory.
  bool is_next(std::string_view token) {
    for (const int32_t id : {last_, last_ + 1}) {
      if (!vocabulary_.has(id) || vocabulary_.token(id) != token) continue;
      last_ = id;
      return true;
    }
    return false;
  }

  const ModelSource& source_;
  const Vocabulary& vocabulary_;
  std::string_view prefix_;
  std::vector<MergeRule> rules_;
  int32_t last_ = 0;  // made by the last merge
};

}  // namespace

std::vector<MergeRule> read_merges(const ModelSource& source, const Vocabulary& vocabulary,
                                   std::string_view prefix) {
  return Reader(source, vocabulary, prefix).run();
}

std::vector<MergeRule> merges_from_scores(const VocabularyLists& lists,
                                          const Vocabulary& vocabulary) {
  const auto symbol = [&](std::string_view text) -> int32_t {  // -1: neither token nor character
    const int32_t id = vocabulary.lookup(text);
    if (id >= 0 && lists.spells(id)) return id;
    if (utf8_length(text[0]) != text.size()) return -1;
    size_t at = 0;
    return static_cast<int32_t>(vocabulary.size()) + static_cast<int32_t>(next_character(text, at));
  };
  std::vector<float> scores = lists.scores;
  std::sort(scores.begin(), scores.end(), std::greater<>());
  scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
  std::vector<MergeRule> rules;
  for (size_t id = 0; id < lists.tokens.size(); ++id) {
    const std::string_view token = lists.tokens[id];
    if (token.empty() || !lists.spells(static_cast<int64_t>(id))) continue;
    const auto rank =
        std::lower_bound(scores.begin(), scores.end(), lists.scores[id], std::greater<>()) -
        scores.begin();
    for (size_t cut = 0; cut < token.size();) {
      cut += utf8_length(token[cut]);
      if (cut >= token.size()) break;
      const int32_t left = symbol(token.substr(0, cut));
      const int32_t right = left < 0 ? -1 : symbol(token.substr(cut));
      if (right >= 0)
        rules.push_back({left, right, static_cast<int32_t>(id), static_cast<uint32_t>(rank)});
    }
  }
  return rules;
}

MergeTable::MergeTable(const std::vector<MergeRule>& rules)
    : slots_(std::bit_ceil(rules.size() + rules.size() / 3 + 16)), mask_(slots_.size() - 1) {
  for (const MergeRule& rule : rules) {
    const uint64_t wanted = key(rule.left, rule.right);
    slots_[place(wanted)] = {wanted, {rule.rank, rule.id}};
  }
}

}  // namespace attar
