// tiktoken's files (openai/tiktoken): a token in base64 and its rank on every line. Two neighbours
// join when their text is a token; the lowest rank joins first.
#include <fmt/core.h>

#include <charconv>

#include "compress/base/error.h"
#include "compress/tokenizer/base64.h"
#include "compress/tokenizer/components.h"
#include "compress/tokenizer/definition.h"
#include "compress/tokenizer/published_patterns.h"

namespace attar {
namespace {

/// What a file of this name (without .tiktoken or .model) is used with: the words' pattern and the
/// special tokens, from an id on.
struct Known {
  std::string_view name, pattern;
  int64_t first_special;
  std::vector<std::string> specials;
  std::string_view begin;  // put before a text
};

std::vector<std::string> llama3_specials() {
  std::vector<std::string> names = {"<|begin_of_text|>",
                                    "<|end_of_text|>",
                                    "<|reserved_special_token_0|>",
                                    "<|reserved_special_token_1|>",
                                    "<|finetune_right_pad_id|>",
                                    "<|reserved_special_token_2|>",
                                    "<|start_header_id|>",
                                    "<|end_header_id|>",
                                    "<|eom_id|>",
                                    "<|eot_id|>",
                                    "<|python_tag|>"};
  for (int i = 3; names.size() < 256; ++i)
    names.push_back(fmt::format("<|reserved_special_token_{}|>", i));
  return names;
}

std::vector<std::string> qwen_specials() {
  std::vector<std::string> names = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  for (int i = 0; i < 205; ++i) names.push_back(fmt::format("<|extra_{}|>", i));
  return names;
}

const std::vector<Known>& known_files() {
  const std::vector<std::string> middle = {"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"};
  static const std::vector<Known> rows = {
      {"r50k_base", patterns::kGpt2, 50256, {"<|endoftext|>"}, ""},
      {"gpt2", patterns::kGpt2, 50256, {"<|endoftext|>"}, ""},
      {"p50k_base", patterns::kGpt2, 50256, {"<|endoftext|>"}, ""},
      {"cl100k_base",
       patterns::kLlama3,
       100257,
       {"<|endoftext|>", middle[0], middle[1], middle[2]},
       ""},
      {"o200k_base", patterns::kGpt4o, 199999, {"<|endoftext|>"}, ""},
      {"qwen", patterns::kQwen2, 151643, qwen_specials(), ""},
      {"llama3", patterns::kLlama3, 128000, llama3_specials(), "<|begin_of_text|>"},
  };
  return rows;
}

/// By the name; Llama 3's is called tokenizer.model and is known by its size.
const Known* find_known(const std::string& stem, size_t tokens) {
  for (const Known& row : known_files())
    if (row.name == stem || (row.name == "llama3" && stem == "tokenizer" && tokens == 128000))
      return &row;
  return nullptr;
}

/// "IQ== 0": sets the token at its rank.
void read_line(std::string_view line, const std::string& where, std::vector<std::string>& tokens) {
  const size_t space = line.find(' ');
  const auto bytes = decode_base64(line.substr(0, space));
  uint32_t rank = 0;
  bool good = space != std::string_view::npos && bytes && !bytes->empty();
  if (good) {
    const char* end = line.data() + line.size();
    const auto [stop, error] = std::from_chars(line.data() + space + 1, end, rank);
    good = error == std::errc() && stop == end;
  }
  if (!good) throw bad_input("a token in base64 and its rank are expected here", where);
  if (rank < tokens.size() || rank > Vocabulary::kLargestId)
    throw bad_input(
        fmt::format("the rank {} stands where at least {} is expected", rank, tokens.size()), where,
        "ranks count up");
  tokens.resize(rank);  // a gap is an id that a special token has
  append_byte_characters(tokens.emplace_back(), *bytes);
}

std::vector<std::string> read_tokens(std::string_view text, const std::string& where) {
  std::vector<std::string> tokens;
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) read_line(line, fmt::format("{}:{}", where, number), tokens);
  }
  if (tokens.empty()) throw bad_input("the file has no tokens", where);
  return tokens;
}

}  // namespace

bool looks_like_tiktoken(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, std::min(bytes.find('\n'), bytes.size()));
  const size_t space = line.find(' ');
  return space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
         line[space + 1] >= '0' && line[space + 1] <= '9' &&
         decode_base64(line.substr(0, space)).has_value();
}

TokenizerDefinition define_by_tiktoken(const fs::path& file, const std::string& name) {
  TokenizerDefinition definition;
  definition.where = file.string();
  definition.directory = file.has_parent_path() ? file.parent_path() : ".";
  VocabularyLists lists;
  lists.tokens = read_tokens(MappedFile::open(file).text(), definition.where);
  for (size_t rank = 0; rank < lists.tokens.size(); ++rank)
    lists.scores.push_back(-static_cast<float>(rank));

  const auto config = tokenizer_config(definition.directory);
  const Known* known = find_known(name.empty() ? file.stem().string() : name, lists.tokens.size());
  std::string pattern(known ? known->pattern : "");
  if (const auto given = config.find("pat_str"); given != config.end() && given->is_string())
    pattern = given->get<std::string>();
  if (pattern.empty()) {
    std::string names;
    for (const Known& row : known_files())
      names += fmt::format("{}{}", names.empty() ? "" : ", ", row.name);
    throw bad_input("how this tiktoken file cuts words is not known", definition.where,
                    "known names: " + names +
                        "; for another give the pattern as \"pat_str\" in tokenizer_config.json");
  }

  nlohmann::json& tree = definition.components;
  tree["model"] = {{"type", "BPE"}, {"ignore_merges", true}};
  tree["pre_tokenizer"] = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}},
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  tree["decoder"] = {{"type", "ByteLevel"}};
  tree["added_tokens"] = nlohmann::json::array();
  for (size_t i = 0; known && i < known->specials.size(); ++i)
    tree["added_tokens"].push_back(
        added_token(known->specials[i], known->first_special + static_cast<int64_t>(i), true));
  if (known && known->name == "o200k_base")
    tree["added_tokens"].push_back(added_token("<|endofprompt|>", 200018, true));
  if (known && known->name == "cl100k_base")
    tree["added_tokens"].push_back(added_token("<|endofprompt|>", 100276, true));
  add_configured_tokens(definition.directory, tree["added_tokens"]);
  if (known && !known->begin.empty())
    tree["post_processor"] = surrounded_by(known->first_special, {});
  definition.lists = std::move(lists);
  return definition;
}

}  // namespace attar
