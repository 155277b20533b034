#include "compress/tokenizer/bpe_trainer.h"

#include <fmt/core.h>

#include <algorithm>
#include <unordered_map>

#include "compress/base/error.h"
#include "compress/base/process.h"
#include "compress/base/threads.h"
#include "compress/tokenizer/components.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kLeastCount = 2;  // a pair that occurs once is no pattern
constexpr std::string_view kWords =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

Json pre_tokenizer_json() {
  Json split = {{"type", "Split"},
                {"pattern", {{"Regex", kWords}}},
                {"behavior", "Isolated"},
                {"invert", false}};
  Json bytes = {{"type", "ByteLevel"},
                {"add_prefix_space", false},
                {"trim_offsets", true},
                {"use_regex", false}};
  return {{"type", "Sequence"}, {"pretokenizers", Json::array({split, bytes})}};
}

using WordCounts = std::unordered_map<std::string, int64_t>;

/// How often each piece occurs, in the byte alphabet.
WordCounts count_words(std::span<const std::string> documents) {
  const nlohmann::json json = pre_tokenizer_json();
  const auto pre_tokenizer = make_pre_tokenizer(Fields(json, "pre_tokenizer"));
  constexpr int64_t kGrain = 16;
  const auto count = static_cast<int64_t>(documents.size());
  std::vector<WordCounts> parts(static_cast<size_t>((count + kGrain - 1) / kGrain));
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    check_interrupted();
    for (int64_t i = begin; i < end; ++i) {
      const std::string& text = documents[static_cast<size_t>(i)];
      if (const auto bad = find_invalid_utf8(text))
        throw bad_input("the text is not valid UTF-8",
                        fmt::format("document {}: byte {}", i, *bad));
      Pieces pieces{text, {{0, text.size(), true}}};
      pre_tokenizer->apply(pieces);
      auto& words = parts[static_cast<size_t>(begin / kGrain)];
      for (const Piece& piece : pieces.list) ++words[std::string(pieces.at(piece))];
    }
  });
  WordCounts words;
  for (const auto& part : parts)
    for (const auto& [word, number] : part) words[word] += number;
  return words;
}

/// Finds the most frequent pair again and again, touching only the words that have it.
class Trainer {
 public:
  Trainer(const WordCounts& words, const BpeTrainerOptions& options);
  /// Merges until there are `size` tokens.
  void run(int64_t size);
  Json vocabulary() const;
  Json merges() const;

 private:
  using Pair = std::pair<int32_t, int32_t>;
  struct Word {
    std::vector<int32_t> symbols;
    int64_t count;
  };
  struct Occurrences {
    int64_t count = 0;
    std::vector<size_t> words;  // that have, or had, the pair
  };
  struct Best {
    int64_t count;
    Pair pair;
    bool operator<(const Best& other) const {  // for a heap with the best on top
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  static uint64_t key(Pair pair) {
    return static_cast<uint64_t>(pair.first) << 32 | static_cast<uint32_t>(pair.second);
  }
  void add_token(const std::string& token);
  void change(Pair pair, int64_t by, size_t word);
  void queue(Pair pair);
  bool pop_best(Best& best);
  void merge(Pair pair);
  void merge_in(size_t index, Pair pair, int32_t merged);

  std::vector<std::string> tokens_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<Word> words_;
  std::unordered_map<uint64_t, Occurrences> pairs_;
  std::vector<Best> heap_;
  std::vector<Pair> merges_, changed_;
};

Trainer::Trainer(const WordCounts& words, const BpeTrainerOptions& options) {
  for (const auto& token : options.special_tokens) add_token(token);
  for (int byte = 0; byte < 256; ++byte)
    add_token(byte_character(static_cast<unsigned char>(byte)));
  for (const auto& [text, count] : words) {
    Word word{{}, count};
    for (size_t at = 0, begin = 0; at < text.size(); begin = at) {
      next_character(text, at);
      word.symbols.push_back(ids_.at(text.substr(begin, at - begin)));
    }
    words_.push_back(std::move(word));
  }
  for (size_t w = 0; w < words_.size(); ++w)
    for (size_t i = 0; i + 1 < words_[w].symbols.size(); ++i)
      change({words_[w].symbols[i], words_[w].symbols[i + 1]}, words_[w].count, w);
  for (const auto& [pair, occurrences] : pairs_)
    queue({static_cast<int32_t>(pair >> 32), static_cast<int32_t>(pair & 0xffffffffu)});
}

void Trainer::add_token(const std::string& token) {
  if (!ids_.emplace(token, static_cast<int32_t>(tokens_.size())).second)
    throw bad_input(
        fmt::format("the special token \"{}\" appears twice or is a single byte", token),
        "special_tokens");
  tokens_.push_back(token);
}

void Trainer::change(Pair pair, int64_t by, size_t word) {
  Occurrences& occurrences = pairs_[key(pair)];
  occurrences.count += by;
  if (by > 0 && (occurrences.words.empty() || occurrences.words.back() != word))
    occurrences.words.push_back(word);
}

void Trainer::queue(Pair pair) {
  const int64_t count = pairs_[key(pair)].count;
  if (count < kLeastCount) return;
  heap_.push_back({count, pair});
  std::push_heap(heap_.begin(), heap_.end());
}

/// Entries whose count has sunk since they were queued are queued anew with the count they have
/// now.
bool Trainer::pop_best(Best& best) {
  while (!heap_.empty()) {
    best = heap_.front();
    std::pop_heap(heap_.begin(), heap_.end());
    heap_.pop_back();
    const int64_t now = pairs_[key(best.pair)].count;
    if (now == best.count) return true;
    if (now < best.count) queue(best.pair);
  }
  return false;
}

void Trainer::run(int64_t size) {
  for (Best best; static_cast<int64_t>(tokens_.size()) < size;) {
    if (!pop_best(best))
      throw bad_input(fmt::format("the text has pairs of characters for {} tokens only, not for {}",
                                  tokens_.size(), size),
                      "vocab_size", "take more text or a smaller vocabulary");
    merge(best.pair);
  }
}

void Trainer::merge(Pair pair) {
  const std::string joined =
      tokens_[static_cast<size_t>(pair.first)] + tokens_[static_cast<size_t>(pair.second)];
  // The same text may already have come about from two other tokens.
  const auto [entry, fresh] = ids_.emplace(joined, static_cast<int32_t>(tokens_.size()));
  if (fresh) tokens_.push_back(joined);
  merges_.push_back(pair);
  changed_.clear();
  const std::vector<size_t> affected = std::move(pairs_[key(pair)].words);
  for (const size_t w : affected) merge_in(w, pair, entry->second);
  pairs_.erase(key(pair));
  std::sort(changed_.begin(), changed_.end());
  changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
  for (const Pair& grown : changed_) queue(grown);
}

void Trainer::merge_in(size_t index, Pair pair, int32_t merged) {
  Word& word = words_[index];
  auto& symbols = word.symbols;
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    if (symbols[i] != pair.first || symbols[i + 1] != pair.second) continue;
    const auto replace_pair = [&](Pair old, Pair now) {
      change(old, -word.count, index);
      change(now, word.count, index);
      changed_.push_back(now);
    };
    if (i > 0) replace_pair({symbols[i - 1], pair.first}, {symbols[i - 1], merged});
    if (i + 2 < symbols.size())
      replace_pair({pair.second, symbols[i + 2]}, {merged, symbols[i + 2]});
    change(pair, -word.count, index);
    symbols[i] = merged;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  }
}

Json Trainer::vocabulary() const {
  Json json = Json::object();
  auto& entries = json.get_ref<Json::object_t&>();  // operator[] would look every key up one by one
  for (size_t id = 0; id < tokens_.size(); ++id) entries.push_back({tokens_[id], id});
  return json;
}

Json Trainer::merges() const {
  Json json = Json::array();
  for (const auto& [left, right] : merges_)
    json.push_back({tokens_[static_cast<size_t>(left)], tokens_[static_cast<size_t>(right)]});
  return json;
}

Json added_tokens_json(const std::vector<std::string>& tokens) {
  Json list = Json::array();
  for (size_t id = 0; id < tokens.size(); ++id)
    list.push_back({{"id", id},
                    {"content", tokens[id]},
                    {"single_word", false},
                    {"lstrip", false},
                    {"rstrip", false},
                    {"normalized", false},
                    {"special", true}});
  return list;
}

Json template_json(const std::string& begin) {
  const auto special = [&](int type) {
    return Json{{"SpecialToken", {{"id", begin}, {"type_id", type}}}};
  };
  const auto sequence = [](const char* id, int type) {
    return Json{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  Json token = {{"id", begin}, {"ids", Json::array({0})}, {"tokens", Json::array({begin})}};
  return {{"type", "TemplateProcessing"},
          {"single", Json::array({special(0), sequence("A", 0)})},
          {"pair", Json::array({special(0), sequence("A", 0), special(1), sequence("B", 1)})},
          {"special_tokens", {{begin, token}}}};
}

}  // namespace

nlohmann::ordered_json train_byte_level_bpe(std::span<const std::string> documents,
                                            const BpeTrainerOptions& options) {
  const auto& special = options.special_tokens;
  if (special.size() < 2) throw bad_input("a begin and an end token are needed", "special_tokens");
  const auto least = static_cast<int64_t>(256 + special.size());
  if (options.vocab_size < least)
    throw bad_input(fmt::format("{} tokens do not hold the {} bytes and special tokens",
                                options.vocab_size, least),
                    "vocab_size");
  Trainer trainer(count_words(documents), options);
  trainer.run(options.vocab_size);
  Json model = {{"type", "BPE"},
                {"dropout", nullptr},
                {"unk_token", nullptr},
                {"continuing_subword_prefix", nullptr},
                {"end_of_word_suffix", nullptr},
                {"fuse_unk", false},
                {"byte_fallback", false},
                {"ignore_merges", false},
                {"vocab", trainer.vocabulary()},
                {"merges", trainer.merges()}};
  Json decoder = {{"type", "ByteLevel"},
                  {"add_prefix_space", true},
                  {"trim_offsets", true},
                  {"use_regex", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added_tokens_json(special)},
          {"normalizer", nullptr},
          {"pre_tokenizer", pre_tokenizer_json()},
          {"post_processor", template_json(special[0])},
          {"decoder", decoder},
          {"model", std::move(model)}};
}

nlohmann::ordered_json trained_tokenizer_config(const BpeTrainerOptions& options) {
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"bos_token", options.special_tokens.at(0)},
                 {"eos_token", options.special_tokens.at(1)}};
  if (options.special_tokens.size() > 2) config["pad_token"] = options.special_tokens[2];
  config["clean_up_tokenization_spaces"] = false;
  return config;
}

}  // namespace attar
