#include "compress/tokenizer/gguf_vocabulary.h"

#include <fmt/core.h>

#include <array>
#include <cmath>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/tokenizer/definition.h"
#include "compress/tokenizer/published_patterns.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

constexpr std::string_view kBlock = "\xE2\x96\x81";  // ▁

/// What a value of tokenizer.ggml.pre stands for: the expressions that cut a text, one after the
/// other, and what else the model's own tokenizer does.
struct PreRow {
  std::string_view name;
  std::array<std::string_view, 4> patterns;  // empty ones at the end
  bool compose = false;                      // NFC first
  bool ignore_merges = false;                // a word that is a token is that token
  bool begin = false;  // BOS goes before a text unless the file says otherwise
};

using namespace patterns;
const PreRow kPre[] = {
    {"default", {kPunctuation, kGpt2, kDigits, kThreeAsciiDigits}},
    {"llama3", {kLlama3}, false, true, true},
    {"llama-v3", {kLlama3}, false, true, true},
    {"llama-bpe", {kLlama3}, false, true, true},
    {"falcon3", {kLlama3}, false, true, true},
    {"pixtral", {kTekken}, false, true, true},
    {"tekken", {kTekken}, false, true, true},
    {"dbrx", {kLlama3}},
    {"smaug-bpe", {kLlama3}},
    {"chatglm-bpe", {kLlama3}},
    {"gpt-2", {kGpt2}},
    {"phi-2", {kGpt2}},
    {"jina-es", {kGpt2}},
    {"jina-de", {kGpt2}},
    {"jina-v2-es", {kGpt2}},
    {"jina-v2-de", {kGpt2}},
    {"jina-v2-code", {kGpt2}},
    {"roberta-bpe", {kGpt2}},
    {"gigachat", {kGpt2}},
    {"mpt", {kGpt2}},
    {"olmo", {kGpt2}},
    {"jais", {kGpt2}},
    {"smollm", {kDigit, kGpt2}},
    {"starcoder", {kDigit, kGpt2}},
    {"refact", {kDigit, kGpt2}},
    {"command-r", {kDigit, kGpt2}},
    {"codeshell", {kDigit, kGpt2}},
    {"exaone", {kDigit, kGpt2}},
    {"minerva-7b", {kDigit, kGpt2}},
    {"falcon", {kFalconPunctuation, kGpt2, kThreeAsciiDigits}},
    {"qwen2", {kQwen2}, true},
    {"deepseek-r1-qwen", {kQwen2}, true},
    {"stablelm2", {kQwen2}, true},
    {"qwen35", {kQwen35}, true},
    {"gpt-4o", {kGpt4o}},
    {"llama4", {kGpt4o}, false, false, true},
    {"deepseek-v3", {kThreeDigits, kDeepSeek3Han, kDeepSeek3}},
    {"bloom", {kBloom}},
    {"gpt3-finnish", {kBloom}},
    {"poro-chat", {kBloom}},
    {"viking", {kBloom, kDigit}},
};

class Builder {
 public:
  explicit Builder(GgufVocabulary vocabulary) : in_(std::move(vocabulary)) {
    definition_.where = in_.where;
    check();
  }

  TokenizerDefinition run() {
    if (in_.model == "llama")
      sentencepiece_bpe();
    else if (in_.model == "t5")
      unigram();
    else if (in_.model == "gpt2")
      byte_level_bpe();
    else if (in_.model == "bert")
      wordpiece();
    else
      throw bad_input(fmt::format("the tokenizer model \"{}\" is not implemented", in_.model),
                      key("model"), "known: bert, gpt2, llama, t5");
    lists_.tokens = std::move(in_.tokens);
    definition_.lists = std::move(lists_);
    return std::move(definition_);
  }

 private:
  std::string key(std::string_view name) const {
    return fmt::format("{}: tokenizer.ggml.{}", in_.where, name);
  }

  void check() const {
    if (in_.tokens.empty()) throw bad_input("the file carries no tokens", key("tokens"));
    const auto fits = [&](size_t count, const char* name) {
      if (count != 0 && count != in_.tokens.size())
        throw bad_input(fmt::format("{} entries for {} tokens", count, in_.tokens.size()),
                        key(name));
    };
    fits(in_.scores.size(), "scores");
    fits(in_.types.size(), "token_type");
    for (size_t id = 0; id < in_.tokens.size(); ++id) {
      const auto complain = [&](const char* what) {
        return bad_input(fmt::format("token {} {}", id, what), key("tokens"));
      };
      if (find_invalid_utf8(in_.tokens[id])) throw complain("is not valid UTF-8");
      if (!in_.types.empty() && (in_.types[id] < 1 || in_.types[id] > 6))
        throw complain("has an unknown type");
      if (!in_.scores.empty() && !std::isfinite(in_.scores[id]))
        throw complain("has a score that is no number");
    }
    if (find_invalid_utf8_merge()) throw bad_input("a merge is not valid UTF-8", key("merges"));
  }
  bool find_invalid_utf8_merge() const {
    for (const std::string& merge : in_.merges)
      if (find_invalid_utf8(merge)) return true;
    return false;
  }

  TokenKind kind(size_t id) const {
    return in_.types.empty() ? TokenKind::normal : static_cast<TokenKind>(in_.types[id]);
  }
  bool flag(const char* name, bool otherwise) const {
    const auto found = in_.flags.find(name);
    return found == in_.flags.end() ? otherwise : found->second;
  }
  /// The id under the first of these names that the file has.
  std::optional<int64_t> id(std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      const auto found = in_.ids.find(name);
      if (found == in_.ids.end() || found->second < 0) continue;
      if (found->second >= static_cast<int64_t>(in_.tokens.size()))
        throw bad_input(
            fmt::format("the id {} is outside 0 to {}", found->second, in_.tokens.size() - 1),
            key(name));
      return found->second;
    }
    return {};
  }

  void surround(bool begin, bool end) {
    const auto bos = id({"bos_token_id", "cls_token_id"});
    const auto eos = id({"eos_token_id"});
    place(bos, flag("add_bos_token", begin), eos, flag("add_eos_token", end));
  }
  void place(std::optional<int64_t> bos, bool begin, std::optional<int64_t> eos, bool end) {
    if (begin && !bos)
      throw bad_input("BOS is to be added, and the file names none", key("bos_token_id"));
    if (end && !eos)
      throw bad_input("EOS is to be added, and the file names none", key("eos_token_id"));
    if (bos) definition_.bos = static_cast<int32_t>(*bos);
    if (eos) definition_.eos = static_cast<int32_t>(*eos);
    tree()["post_processor"] =
        begin && end && in_.model == "bert"
            ? bracketed_by("BertProcessing", *bos, *eos)
            : surrounded_by(begin ? bos : std::nullopt, end ? eos : std::nullopt);
  }

  /// Control and user-defined tokens are looked for in the raw text. `unknown`: the unknown one
  /// too.
  void find_specials(bool unknown) {
    nlohmann::json added = nlohmann::json::array();
    for (size_t i = 0; i < in_.tokens.size(); ++i) {
      const bool control =
          kind(i) == TokenKind::control || (unknown && kind(i) == TokenKind::unknown);
      if (control || kind(i) == TokenKind::user_defined)
        added.push_back(added_token(in_.tokens[i], static_cast<int64_t>(i), control));
    }
    if (is_phi3())
      for (auto& token : added) {
        const std::string content = token["content"];
        token["rstrip"] = content != "<unk>" && content != "<s>" && content != "<|endoftext|>";
      }
    tree()["added_tokens"] = std::move(added);
  }

  /// Phi-3's own tokens take the white space behind them along, which no key says: llama.cpp tells
  /// it by the model's name (src/llama-vocab.cpp), and so do we.
  bool is_phi3() const {
    std::string name = in_.name;
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
  }

  void need_scores() const {
    if (in_.scores.empty()) throw bad_input("the tokens have no scores", key("scores"));
  }
  void take_kinds() {
    for (size_t i = 0; i < in_.tokens.size(); ++i) lists_.kinds.push_back(kind(i));
    lists_.scores = std::move(in_.scores);
  }
  bool has_bytes() const {
    for (size_t i = 0; i < in_.tokens.size(); ++i)
      if (kind(i) == TokenKind::byte) return true;
    return false;
  }
  void decode_blocks(bool dummy_prefix) {
    tree()["decoder"] = {
        {"type", "Sequence"},
        {"decoders",
         {{{"type", "Replace"}, {"pattern", {{"String", kBlock}}}, {"content", " "}},
          {{"type", "ByteFallback"}},
          {{"type", "Fuse"}},
          {{"type", "Strip"}, {"content", " "}, {"start", dummy_prefix ? 1 : 0}, {"stop", 0}}}}};
  }

  void sentencepiece_bpe() {
    need_scores();
    find_specials(true);
    tree()["model"] = {{"type", "BPE"}, {"fuse_unk", true}, {"byte_fallback", has_bytes()}};
    if (const auto unknown = id({"unknown_token_id"}))
      tree()["model"]["unk_token"] = in_.tokens[static_cast<size_t>(*unknown)];
    SentencePieceNormalization spec;
    spec.add_dummy_prefix = flag("add_space_prefix", true);
    spec.remove_extra_whitespaces = flag("remove_extra_whitespaces", false);
    decode_blocks(spec.add_dummy_prefix);
    definition_.normalization = std::move(spec);
    surround(true, false);
    take_kinds();
  }

  void unigram() {
    need_scores();
    find_specials(true);
    const auto unknown = id({"unknown_token_id"});
    if (!unknown) throw bad_input("the file names no unknown token", key("unknown_token_id"));
    tree()["model"] = {{"type", "Unigram"}, {"unk_id", *unknown}, {"byte_fallback", has_bytes()}};
    SentencePieceNormalization spec;
    spec.add_dummy_prefix = flag("add_space_prefix", true);
    spec.remove_extra_whitespaces = flag("remove_extra_whitespaces", true);
    spec.characters_map = std::move(in_.precompiled_charsmap);
    decode_blocks(spec.add_dummy_prefix);
    for (size_t i = 0; i < in_.tokens.size(); ++i)
      if (kind(i) == TokenKind::user_defined) spec.kept.push_back(in_.tokens[i]);
    definition_.normalization = std::move(spec);
    surround(false, true);
    take_kinds();
  }

  void byte_level_bpe() {
    const std::string name = in_.pre.empty() ? "default" : in_.pre;
    const PreRow* rules = nullptr;
    std::vector<std::string> known;
    for (const PreRow& row : kPre) {
      if (row.name == name) rules = &row;
      known.emplace_back(row.name);
    }
    if (!rules) throw_unknown_component("pre-tokenizer", name, key("pre"), known);
    if (in_.merges.empty()) throw bad_input("a BPE needs merges", key("merges"));
    find_specials(false);
    tree()["model"] = {{"type", "BPE"}, {"ignore_merges", rules->ignore_merges}};
    if (rules->compose) tree()["normalizer"] = {{"type", "NFC"}};
    nlohmann::json steps = nlohmann::json::array();
    for (const std::string_view pattern : rules->patterns)
      if (!pattern.empty())
        steps.push_back(
            {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}});
    steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}});
    tree()["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", steps}};
    tree()["decoder"] = {{"type", "ByteLevel"}};
    surround(rules->begin, false);
    lists_.merges = std::move(in_.merges);
  }

  /// In these files ▁ marks where words begin instead of ## where they go on; [PAD] and the like
  /// have neither.
  void wordpiece() {
    for (std::string& token : in_.tokens) {
      if (token.starts_with(kBlock))
        token.erase(0, kBlock.size());
      else if (!token.starts_with('[') || !token.ends_with(']') || token.size() < 2)
        token.insert(0, "##");
    }
    find_specials(true);
    const auto unknown = id({"unknown_token_id"});
    tree()["model"] = {{"type", "WordPiece"},
                       {"unk_token", unknown ? in_.tokens[static_cast<size_t>(*unknown)] : "[UNK]"},
                       {"continuing_subword_prefix", "##"},
                       {"max_input_chars_per_word", 100}};
    tree()["normalizer"] = {{"type", "BertNormalizer"},
                            {"clean_text", true},
                            {"handle_chinese_chars", true},
                            {"lowercase", flag("normalizer.lowercase", true)}};
    tree()["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
    tree()["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
    place(id({"cls_token_id", "bos_token_id"}), flag("add_bos_token", true),
          id({"seperator_token_id", "separator_token_id", "eos_token_id"}),
          flag("add_sep_token", flag("add_eos_token", true)));
  }

  nlohmann::json& tree() { return definition_.components; }

  GgufVocabulary in_;
  TokenizerDefinition definition_;
  VocabularyLists lists_;
};

}  // namespace

std::shared_ptr<const Tokenizer> make_gguf_tokenizer(GgufVocabulary vocabulary) {
  return make_tokenizer(Builder(std::move(vocabulary)).run());
}

}  // namespace attar
