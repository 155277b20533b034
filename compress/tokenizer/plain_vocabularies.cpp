// Vocabularies of the time before tokenizer.json: BERT's vocab.txt, and GPT-2's vocab.json with
// merges.txt. What is around them follows from the class that tokenizer_config.json names.
#include <fmt/core.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/formats/json.h"
#include "compress/tokenizer/definition.h"
#include "compress/tokenizer/published_patterns.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

std::vector<std::string> read_lines(const fs::path& file) {
  const std::string text = read_text(file);
  if (const auto bad = find_invalid_utf8(text))
    throw bad_input(fmt::format("not valid UTF-8 at byte {}", *bad), file.string());
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    if (lines.back().ends_with('\r')) lines.back().pop_back();
    at = end + 1;
  }
  return lines;
}

std::string text_of(const nlohmann::json& config, const char* key, const char* otherwise) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return otherwise;
  if (found->is_string()) return found->get<std::string>();
  if (found->is_object() && found->contains("content") && (*found)["content"].is_string())
    return (*found)["content"].get<std::string>();
  throw bad_input("a token is expected here", fmt::format("tokenizer_config.json: {}", key));
}

std::string class_of(const nlohmann::json& config, const char* otherwise) {
  std::string name = text_of(config, "tokenizer_class", otherwise);
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

nlohmann::json value_or(const nlohmann::json& config, const char* key, nlohmann::json otherwise) {
  const auto found = config.find(key);
  return found == config.end() ? otherwise : *found;
}

int64_t index_of(const std::vector<std::string>& tokens, const std::string& token,
                 const std::string& where) {
  for (size_t id = 0; id < tokens.size(); ++id)
    if (tokens[id] == token) return static_cast<int64_t>(id);
  throw bad_input(fmt::format("the special token \"{}\" is not in the vocabulary", token), where,
                  "tokenizer_config.json names special tokens");
}

/// Classes of byte-level BPE.
struct ByteLevelRow {
  std::string_view name, pattern;
  bool compose;             // NFC first
  const char *begin, *end;  // put around a text
  const char* unknown;      // what the class names when the configuration does not
};
constexpr ByteLevelRow kByteLevelClasses[] = {
    {"GPT2Tokenizer", patterns::kGpt2, false, nullptr, nullptr, "<|endoftext|>"},
    {"RobertaTokenizer", patterns::kGpt2, false, "<s>", "</s>", "<unk>"},
    {"BartTokenizer", patterns::kGpt2, false, "<s>", "</s>", "<unk>"},
    {"Qwen2Tokenizer", patterns::kQwen2, true, nullptr, nullptr, "<|endoftext|>"},
};

}  // namespace

TokenizerDefinition define_by_vocabulary_text(const fs::path& file) {
  TokenizerDefinition definition;
  definition.where = file.string();
  definition.directory = file.has_parent_path() ? file.parent_path() : ".";
  const auto config = tokenizer_config(definition.directory);
  const std::string name = class_of(config, "BertTokenizer");
  const std::vector<std::string> known = {"BertTokenizer", "DistilBertTokenizer",
                                          "ElectraTokenizer"};
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw bad_input(fmt::format("the tokenizer class \"{}\" is not known for vocab.txt", name),
                    definition.where, suggest(name, known));
  VocabularyLists lists;
  lists.tokens = read_lines(file);

  nlohmann::json& tree = definition.components;
  const std::string unknown = text_of(config, "unk_token", "[UNK]");
  tree["model"] = {{"type", "WordPiece"},
                   {"unk_token", unknown},
                   {"continuing_subword_prefix", "##"},
                   {"max_input_chars_per_word", 100}};
  tree["normalizer"] = {{"type", "BertNormalizer"},
                        {"clean_text", true},
                        {"handle_chinese_chars", value_or(config, "tokenize_chinese_chars", true)},
                        {"strip_accents", value_or(config, "strip_accents", nullptr)},
                        {"lowercase", value_or(config, "do_lower_case", true)}};
  tree["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  tree["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  const auto id = [&](const char* key, const char* otherwise) {
    return index_of(lists.tokens, text_of(config, key, otherwise), definition.where);
  };
  const int64_t begin = id("cls_token", "[CLS]"), end = id("sep_token", "[SEP]");
  tree["post_processor"] = bracketed_by("BertProcessing", begin, end);
  nlohmann::json added = nlohmann::json::array();
  for (const int64_t special :
       {id("pad_token", "[PAD]"), id("unk_token", "[UNK]"), begin, end, id("mask_token", "[MASK]")})
    added.push_back(added_token(lists.tokens[static_cast<size_t>(special)], special, true));
  add_configured_tokens(definition.directory, added);
  tree["added_tokens"] = std::move(added);
  definition.lists = std::move(lists);
  return definition;
}

TokenizerDefinition define_by_vocabulary_and_merges(const fs::path& directory) {
  TokenizerDefinition definition;
  definition.where = (directory / "vocab.json").string();
  definition.directory = directory;
  const auto config = tokenizer_config(directory);
  const std::string name = class_of(config, "GPT2Tokenizer");
  const ByteLevelRow* rules = nullptr;
  std::vector<std::string> known;
  for (const ByteLevelRow& row : kByteLevelClasses) {
    if (row.name == name) rules = &row;
    known.emplace_back(row.name);
  }
  if (!rules)
    throw bad_input(
        fmt::format("the tokenizer class \"{}\" is not known for vocab.json and merges.txt", name),
        (directory / "tokenizer_config.json").string(), suggest(name, known));

  VocabularyLists lists;
  const auto vocabulary = parse_json<nlohmann::json>(
      MappedFile::open(directory / "vocab.json").text(), definition.where);
  if (!vocabulary.is_object()) throw bad_input("an object {…} is expected here", definition.where);
  lists.tokens.resize(vocabulary.size());
  for (const auto& [token, value] : vocabulary.items()) {
    const auto id = json_integer(value);
    if (!id || *id < 0 || static_cast<size_t>(*id) >= lists.tokens.size() ||
        !lists.tokens[static_cast<size_t>(*id)].empty())
      throw bad_input(
          fmt::format("ids must be the numbers from 0 to {}, each once", lists.tokens.size() - 1),
          fmt::format("{}: {}", definition.where, token));
    lists.tokens[static_cast<size_t>(*id)] = token;
  }
  for (std::string& line : read_lines(directory / "merges.txt"))
    if (!line.empty() && !line.starts_with("#version")) lists.merges.push_back(std::move(line));

  nlohmann::json& tree = definition.components;
  tree["model"] = {{"type", "BPE"}};
  if (rules->compose) tree["normalizer"] = {{"type", "NFC"}};
  const nlohmann::json prefix = value_or(config, "add_prefix_space", false);
  if (rules->pattern == patterns::kGpt2)
    tree["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", prefix}};
  else if (prefix == false)
    tree["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", rules->pattern}}}, {"behavior", "Isolated"}},
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  else
    throw bad_input(fmt::format("add_prefix_space is not implemented for {}", name),
                    (directory / "tokenizer_config.json").string());
  tree["decoder"] = {{"type", "ByteLevel"}};
  const auto id = [&](const char* key, const char* otherwise) {
    return index_of(lists.tokens, text_of(config, key, otherwise), definition.where);
  };
  if (rules->begin)
    tree["post_processor"] = bracketed_by("RobertaProcessing", id("cls_token", rules->begin),
                                          id("sep_token", rules->end));
  nlohmann::json added = nlohmann::json::array();
  for (size_t token = 0; token < lists.tokens.size(); ++token)
    for (const char* special : {rules->begin, rules->end, rules->unknown, "<pad>"})
      if (special && lists.tokens[token] == special)
        added.push_back(added_token(special, static_cast<int64_t>(token), true));
  add_configured_tokens(directory, added);
  tree["added_tokens"] = std::move(added);
  definition.lists = std::move(lists);
  return definition;
}

}  // namespace attar
