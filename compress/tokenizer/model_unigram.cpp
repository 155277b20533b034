// Unigram (Kudo 2018, section 3.2): of all ways to spell a piece the one with the highest sum of
// scores, by Viterbi's algorithm. A tokenizer.json is computed with in double precision; lists (a
// SentencePiece model) with sums rounded to float, as their own implementations do, so that ties
// fall alike.
#include <fmt/core.h>

#include <algorithm>
#include <limits>

#include "compress/base/error.h"
#include "compress/tokenizer/model.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

constexpr double kUnknownPenalty = 10;  // below the lowest score

class Unigram final : public TokenModel {
 public:
  explicit Unigram(const ModelSource& source) : where_(source.fields.where()) {
    Fields& fields = source.fields;
    unknown_id_ = fields.integer("unk_id", -1);
    byte_fallback_ = fields.flag("byte_fallback", false);
    if (source.lists) {
      read_lists(source);
    } else {
      JsonCursor cursor = source.cursor(source.vocabulary);
      cursor.array([&] { read_entry(cursor, source); });
      lowest_ = scores_.empty() ? 0 : *std::min_element(scores_.begin(), scores_.end());
    }
    if (fields.find("unk_id") && (unknown_id_ < 0 || unknown_id_ >= vocabulary_.size()))
      throw bad_input(
          fmt::format("unk_id {} is not among the {} tokens", unknown_id_, vocabulary_.size()),
          fields.where("unk_id"));
    if (byte_fallback_) bytes_ = byte_tokens();
    for (int32_t id = 0; id < vocabulary_.size(); ++id)
      longest_ = std::max(longest_, vocabulary_.token(id).size());
  }

  void encode(const Pieces& pieces, std::vector<int32_t>& ids) const override {
    std::vector<Node> nodes;
    for (const Piece& piece : pieces.list) encode_piece(pieces.at(piece), nodes, ids);
  }

  std::string fingerprint() const override {
    return {reinterpret_cast<const char*>(scores_.data()), scores_.size() * sizeof(double)};
  }

 private:
  struct Node {  // the best spelling of what ends here
    double score = 0;
    size_t begin = kNone;  // of its last token
    int64_t id = -1;
  };
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();
  static constexpr double kNoScore = -std::numeric_limits<double>::infinity();  // spells no text

  void read_entry(JsonCursor& cursor, const ModelSource& source) {  // ["token", -3.5]
    int part = 0;
    cursor.array([&] {
      if (part == 0) add_token(cursor.string(), vocabulary_.size(), source);
      if (part == 1) scores_.push_back(cursor.number());
      if (part++ > 1) cursor.skip();
    });
    if (part != 2)
      throw bad_input(fmt::format("token {} is not a text and a score", scores_.size()),
                      source.fields.where("vocab"));
  }

  /// Only tokens that spell text take part. A user-defined one is worth more than any spelling by
  /// others: its length times the highest score, less a little.
  void read_lists(const ModelSource& source) {
    read_vocabulary(source);
    lists_ = true;
    const VocabularyLists& lists = *source.lists;
    float lowest = std::numeric_limits<float>::max(),
          highest = std::numeric_limits<float>::lowest();
    for (size_t id = 0; id < lists.tokens.size(); ++id) {
      if (!lists.is(static_cast<int64_t>(id), TokenKind::normal)) continue;
      lowest = std::min(lowest, lists.scores[id]);
      highest = std::max(highest, lists.scores[id]);
    }
    if (lowest > highest) lowest = highest = 0;
    lowest_ = lowest;
    scores_.assign(lists.scores.begin(), lists.scores.end());
    for (size_t id = 0; id < lists.tokens.size(); ++id) {
      const auto number = static_cast<int64_t>(id);
      if (lists.is(number, TokenKind::user_defined))
        scores_[id] =
            static_cast<double>(static_cast<float>(lists.tokens[id].size()) * highest) - 0.1;
      else if (!lists.is(number, TokenKind::normal))
        scores_[id] = kNoScore;
    }
  }

  void search(std::string_view text, std::vector<Node>& nodes) const {
    nodes.assign(text.size() + 1, {});
    const auto offer = [&](size_t begin, size_t end, double sum, int64_t id) {
      if (nodes[end].begin == kNone || sum > nodes[end].score)
        nodes[end] = {lists_ ? static_cast<double>(static_cast<float>(sum)) : sum, begin, id};
    };
    for (size_t begin = 0; begin < text.size();) {
      const size_t next = begin + utf8_length(text[begin]);
      bool single = false;  // the character has a token of its own
      for (size_t end = next; end <= text.size() && end - begin <= longest_;) {
        const int32_t id = vocabulary_.lookup(text.substr(begin, end - begin));
        const double score = id >= 0 ? scores_[static_cast<size_t>(id)] : kNoScore;
        if (score != kNoScore) offer(begin, end, score + nodes[begin].score, id);
        if (score != kNoScore && end == next) single = true;
        if (end == text.size()) break;
        end += utf8_length(text[end]);
      }
      if (!single) {
        const double sum = lowest_ - kUnknownPenalty + nodes[begin].score;
        offer(begin, next, lists_ ? static_cast<double>(static_cast<float>(sum)) : sum,
              unknown_id_);
      }
      begin = next;
    }
  }

  void encode_piece(std::string_view text, std::vector<Node>& nodes,
                    std::vector<int32_t>& ids) const {
    search(text, nodes);
    std::vector<std::pair<size_t, size_t>> tokens;  // from right to left
    bool last_unknown = false;
    for (size_t end = text.size(); end > 0; end = nodes[end].begin) {
      const bool unknown = nodes[end].id == unknown_id_;
      if (unknown && last_unknown)  // a run of unknown ones is one token
        tokens.back().first = nodes[end].begin;
      else
        tokens.emplace_back(nodes[end].begin, end);
      last_unknown = unknown;
    }
    for (auto token = tokens.rbegin(); token != tokens.rend(); ++token)
      append(text.substr(token->first, token->second - token->first), ids);
  }

  void append(std::string_view token, std::vector<int32_t>& ids) const {
    const int32_t id = vocabulary_.lookup(token);
    if (id >= 0 && scores_[static_cast<size_t>(id)] != kNoScore) {
      ids.push_back(id);
      return;
    }
    const auto byte_id = [&](char c) { return bytes_[static_cast<unsigned char>(c)]; };
    if (byte_fallback_ &&
        std::all_of(token.begin(), token.end(), [&](char c) { return byte_id(c) >= 0; })) {
      for (const char c : token) ids.push_back(byte_id(c));
      return;
    }
    if (unknown_id_ < 0)
      throw bad_input(fmt::format("the text has \"{}\", which the vocabulary can't spell, and the "
                                  "model names no unknown token",
                                  token),
                      where_);
    ids.push_back(static_cast<int32_t>(unknown_id_));
  }

  std::string where_;
  int64_t unknown_id_ = -1;
  bool byte_fallback_ = false, lists_ = false;
  std::vector<double> scores_;
  std::vector<int32_t> bytes_;
  size_t longest_ = 0;
  double lowest_ = 0;
};

}  // namespace

std::unique_ptr<TokenModel> make_unigram(const ModelSource& source) {
  return std::make_unique<Unigram>(source);
}

}  // namespace attar
