#include <fmt/core.h>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/formats/json.h"
#include "compress/tokenizer/definition.h"

namespace attar {
namespace {

/// What Hugging Face's classes add around a text unless the directory says otherwise.
struct ClassRow {
  std::string_view name;
  bool begin, end;
};
constexpr ClassRow kClasses[] = {
    {"LlamaTokenizer", true, false},
    {"CodeLlamaTokenizer", true, false},
    {"GemmaTokenizer", true, false},
    {"T5Tokenizer", false, true},
};

/// A tokenizer_config.json's class without its "Fast"; nothing when it names none.
std::string class_name(const nlohmann::json& config, const std::string& where) {
  const auto found = config.find("tokenizer_class");
  if (found == config.end() || found->is_null()) return {};
  if (!found->is_string()) throw bad_input("a text is expected here", where + ": tokenizer_class");
  std::string name = found->get<std::string>();
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  return name;
}

bool flag(const nlohmann::json& config, const char* key, bool otherwise, const std::string& where) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return otherwise;
  if (!found->is_boolean())
    throw bad_input("true or false is expected here", fmt::format("{}: {}", where, key));
  return found->get<bool>();
}

nlohmann::json model_fields(const SentencePieceModel& model, const std::string& where) {
  using Type = SentencePieceModel::Type;
  const auto unknown = static_cast<size_t>(model.unknown_id);
  switch (model.type) {
    case Type::unigram:
      return {{"type", "Unigram"},
              {"unk_id", model.unknown_id},
              {"byte_fallback", model.byte_fallback}};
    case Type::bpe:
      return {{"type", "BPE"},
              {"unk_token", model.lists.tokens[unknown]},
              {"fuse_unk", true},
              {"byte_fallback", model.byte_fallback}};
    case Type::word:
    case Type::character:
      break;
  }
  throw bad_input(fmt::format("a SentencePiece model of the type {} is not implemented",
                              model.type == Type::word ? "\"word\"" : "\"char\""),
                  where, "known: unigram, bpe");
}

/// Pieces joined, ▁ for a space, without the space that the dummy prefix puts before a text.
nlohmann::json decoder(const SentencePieceNormalization& spec) {
  const bool dummy = spec.add_dummy_prefix;
  nlohmann::json steps = {
      {{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
      {{"type", "ByteFallback"}},
      {{"type", "Fuse"}},
      {{"type", "Strip"},
       {"content", " "},
       {"start", dummy && !spec.whitespace_as_suffix ? 1 : 0},
       {"stop", dummy && spec.whitespace_as_suffix ? 1 : 0}},
  };
  return {{"type", "Sequence"}, {"decoders", steps}};
}

/// Control pieces and the unknown one are found in raw text, as Hugging Face does. In a BPE
/// user-defined pieces are found in the rewritten text, before anything is merged.
nlohmann::json added_pieces(const SentencePieceModel& model) {
  nlohmann::json added = nlohmann::json::array();
  for (size_t id = 0; id < model.lists.tokens.size(); ++id) {
    const auto number = static_cast<int64_t>(id);
    const std::string& piece = model.lists.tokens[id];
    if (model.lists.is(number, TokenKind::control) || model.lists.is(number, TokenKind::unknown)) {
      added.push_back(added_token(piece, number, true));
    } else if (model.lists.is(number, TokenKind::user_defined) &&
               model.type == SentencePieceModel::Type::bpe) {
      added.push_back(added_token(piece, number, false));
      added.back()["normalized"] = true;
    }
  }
  return added;
}

/// <extra_id_0>, … of T5, which its class puts behind the pieces in falling order.
void add_extra_ids(const nlohmann::json& config, int64_t pieces, const std::string& where,
                   nlohmann::json& added) {
  int64_t count = 100;
  if (const auto found = config.find("extra_ids"); found != config.end()) {
    const auto number = json_integer(*found);
    if (!number || *number < 0 || *number > 10000)
      throw bad_input("a number from 0 to 10000 is expected here", where + ": extra_ids");
    count = *number;
  }
  for (int64_t i = 0; i < count; ++i)
    added.push_back(added_token(fmt::format("<extra_id_{}>", i), pieces + count - 1 - i, true));
}

}  // namespace

TokenizerDefinition define_by_sentencepiece(const fs::path& file) {
  TokenizerDefinition definition;
  definition.where = file.string();
  SentencePieceModel model = parse_sentencepiece(MappedFile::open(file).text(), definition.where);
  const fs::path directory = file.has_parent_path() ? file.parent_path() : ".";
  const std::string where = (directory / "tokenizer_config.json").string();
  const auto config = tokenizer_config(directory);
  const std::string name = class_name(config, where);
  ClassRow rules{"", false, false};
  std::vector<std::string> known;
  for (const ClassRow& row : kClasses) {
    if (row.name == name) rules = row;
    known.emplace_back(row.name);
  }
  if (!name.empty() && rules.name.empty())
    throw bad_input(
        fmt::format("the tokenizer class \"{}\" is not known for SentencePiece files", name), where,
        suggest(name, known));

  nlohmann::json& tree = definition.components;
  tree["model"] = model_fields(model, definition.where);
  tree["decoder"] = decoder(model.normalization);
  tree["added_tokens"] = added_pieces(model);
  if (name == "T5Tokenizer" && !config.contains("added_tokens_decoder"))
    add_extra_ids(config, static_cast<int64_t>(model.lists.tokens.size()), where,
                  tree["added_tokens"]);
  add_configured_tokens(directory, tree["added_tokens"]);
  const auto around = [&](const char* key, bool otherwise, int64_t id) -> std::optional<int64_t> {
    if (!flag(config, key, otherwise, where)) return {};
    if (id < 0)
      throw bad_input(fmt::format("{} is asked for, and the model has no such token", key), where);
    return id;
  };
  tree["post_processor"] = surrounded_by(around("add_bos_token", rules.begin, model.bos_id),
                                         around("add_eos_token", rules.end, model.eos_id));
  if (model.bos_id >= 0) definition.bos = static_cast<int32_t>(model.bos_id);
  if (model.eos_id >= 0) definition.eos = static_cast<int32_t>(model.eos_id);
  definition.dummy_prefix_once = !flag(config, "legacy", true, where);
  definition.normalization = std::move(model.normalization);
  definition.lists = std::move(model.lists);
  definition.directory = directory;
  return definition;
}

}  // namespace attar
