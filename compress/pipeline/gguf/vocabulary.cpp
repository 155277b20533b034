// tokenizer.json and its companions as the keys tokenizer.ggml.* (ggml-org/llama.cpp,
// gguf-py/gguf/vocab.py).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "compress/base/error.h"
#include "compress/formats/gguf/file.h"
#include "compress/formats/json.h"
#include "compress/pipeline/gguf/metadata.h"
#include "compress/tokenizer/chat_template.h"
#include "compress/tokenizer/published_patterns.h"
#include "compress/tokenizer/tokenizer.h"

namespace attar::gguf_export {
namespace {

using nlohmann::json;

enum TokenType : int32_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

/// How a byte-level BPE cuts words, by the expressions of its tokenizer.json.
struct PreRow {
  std::string_view name;
  std::vector<std::string_view> patterns;
};
const std::vector<PreRow>& pre_rows() {
  static const std::vector<PreRow> rows = {
      {"llama-bpe", {patterns::kLlama3}}, {"qwen2", {patterns::kQwen2}},
      {"gpt-2", {patterns::kGpt2}},       {"smollm", {patterns::kDigit, patterns::kGpt2}},
      {"gpt-4o", {patterns::kGpt4o}},     {"tekken", {patterns::kTekken}},
  };
  return rows;
}

/// The steps of a component: itself, or what its sequence holds under `list`.
std::vector<json> steps(const json& component, const char* list) {
  if (!component.is_object()) return {};
  if (component.value("type", "") == "Sequence" && component.contains(list))
    return component[list].get<std::vector<json>>();
  return {component};
}

bool has_step(const std::vector<json>& all, std::string_view type) {
  return std::any_of(all.begin(), all.end(),
                     [&](const json& step) { return step.value("type", "") == type; });
}

class Vocabulary {
 public:
  Vocabulary(const Model& model, gguf::Metadata& out)
      : directory_(model.path),
        out_(out),
        where_((model.path / "tokenizer.json").string()),
        tokenizer_(parse_json<json>(MappedFile::open(where_).text(), where_)),
        rows_(model.spec.vocab) {
    if (!tokenizer_.is_object() || !tokenizer_.contains("model") ||
        !tokenizer_["model"].is_object())
      throw bad_input("no tokenizer.json", where_);
  }

  void write() {
    const json& model = tokenizer_["model"];
    const std::string type = model.value("type", "BPE");
    normalizers_ = steps(member("normalizer"), "normalizers");
    pre_tokenizers_ = steps(member("pre_tokenizer"), "pretokenizers");
    collect_tokens(model);
    if (type == "WordPiece")
      word_piece();
    else if (type == "BPE" && has_step(pre_tokenizers_, "ByteLevel"))
      byte_level(model);
    else if (type == "BPE" && model.value("byte_fallback", false))
      sentence_piece(model);
    else
      throw bad_input(fmt::format("a tokenizer of type {} is not written as GGUF", type), where_,
                      "written are byte-level BPE, SentencePiece BPE and WordPiece");
    set("tokens", tokens_);
    set("token_type", types_);
    special_ids();
    if (const auto chat = ChatTemplate::load(directory_))
      out_.set("tokenizer.chat_template", chat->source());
  }

 private:
  json member(const char* key) const {
    const auto found = tokenizer_.find(key);
    return found == tokenizer_.end() ? json() : *found;
  }
  void set(std::string_view key, gguf::Value value) {
    out_.set(fmt::format("tokenizer.ggml.{}", key), std::move(value));
  }

  void place(int64_t id, const std::string& token, TokenType type) {
    if (id < 0 || id >= rows_)
      throw bad_input(
          fmt::format("token {} has id {}, the embedding has {} rows", token, id, rows_), where_,
          "the tokenizer belongs to another model");
    tokens_[static_cast<size_t>(id)] = token;
    types_[static_cast<size_t>(id)] = type;
  }

  void collect_tokens(const json& model) {
    for (int64_t i = 0; i < rows_; ++i) tokens_.push_back(fmt::format("[PAD{}]", i));
    types_.assign(tokens_.size(), kUnused);
    if (!model.contains("vocab") || !model["vocab"].is_object())
      throw bad_input("the vocabulary is no map from tokens to ids", where_ + ": model.vocab");
    for (const auto& [token, id] : model["vocab"].items())
      place(json_integer(id).value_or(-1), token, kNormal);
    const json unknown = model.contains("unk_token") ? model["unk_token"] : json();
    for (const json& added : member("added_tokens")) {
      const auto token = added.value("content", std::string());
      place(added.value("id", int64_t{-1}), token,
            added.value("special", false) ? kControl : kUserDefined);
    }
    if (unknown.is_string())
      if (const auto id = id_of(unknown.get<std::string>())) {
        types_[static_cast<size_t>(*id)] = kUnknown;
        set("unknown_token_id", static_cast<uint32_t>(*id));
      }
  }

  std::optional<int64_t> id_of(const std::string& token) const {
    const auto found = std::find(tokens_.begin(), tokens_.end(), token);
    if (found == tokens_.end()) return {};
    return found - tokens_.begin();
  }

  std::vector<std::pair<std::string, std::string>> merges(const json& model) const {
    std::vector<std::pair<std::string, std::string>> result;
    for (const json& merge : model.value("merges", json::array())) {
      if (merge.is_array() && merge.size() == 2) {
        result.emplace_back(merge[0], merge[1]);
        continue;
      }
      const auto text = merge.get<std::string>();
      const size_t space = text.find(' ');
      result.emplace_back(text.substr(0, space), text.substr(space + 1));
    }
    return result;
  }

  void byte_level(const json& model) {
    set("model", std::string("gpt2"));
    set("pre", pre_name());
    std::vector<std::string> lines;
    for (const auto& [left, right] : merges(model)) {
      if (left.find(' ') != std::string::npos || right.find(' ') != std::string::npos)
        throw bad_input("a merge of tokens with spaces cannot be written as GGUF", where_);
      lines.push_back(left + " " + right);
    }
    set("merges", std::move(lines));
  }

  std::string pre_name() {
    std::vector<std::string> found;
    for (const json& step : pre_tokenizers_) {
      const std::string type = step.value("type", "");
      if (type == "Split" && step.contains("pattern"))
        found.push_back(step["pattern"].value("Regex", ""));
      else if (type == "Digits")
        found.emplace_back(patterns::kDigit);
      else if (type == "ByteLevel" && step.value("use_regex", true))
        found.emplace_back(patterns::kGpt2);
    }
    for (const PreRow& row : pre_rows())
      if (std::equal(row.patterns.begin(), row.patterns.end(), found.begin(), found.end()))
        return std::string(row.name);
    throw bad_input("llama.cpp has no name for the way in which this tokenizer cuts words",
                    where_ + ": pre_tokenizer", "export to hf keeps the tokenizer as it is");
  }

  /// Tokens merge by score; a merge's rank, negated, is that order.
  void sentence_piece(const json& model) {
    set("model", std::string("llama"));
    set("pre", std::string("default"));
    std::map<std::string, int64_t> ranks;
    int64_t rank = 0;
    for (const auto& [left, right] : merges(model)) ranks.try_emplace(left + right, ++rank);
    std::vector<float> scores(tokens_.size(), 0.0f);
    for (size_t id = 0; id < tokens_.size(); ++id) {
      if (types_[id] != kNormal) continue;
      const std::string& token = tokens_[id];
      if (token.size() == 6 && token.starts_with("<0x") && token.back() == '>') types_[id] = kByte;
      const auto found = ranks.find(token);
      scores[id] = static_cast<float>(-(found == ranks.end() ? rank + 1 : found->second));
    }
    set("scores", std::move(scores));
    bool prefix = has_step(normalizers_, "Prepend");
    for (const json& step : pre_tokenizers_)
      prefix |=
          step.value("type", "") == "Metaspace" && step.value("prepend_scheme", "") != "never";
    set("add_space_prefix", prefix);
  }

  /// llama.cpp marks beginnings of words where WordPiece marks continuations.
  void word_piece() {
    set("model", std::string("bert"));
    for (size_t id = 0; id < tokens_.size(); ++id) {
      std::string& token = tokens_[id];
      const bool bracketed = token.starts_with("[") && token.ends_with("]");
      if (bracketed || types_[id] != kNormal) continue;
      token = token.starts_with("##") ? token.substr(2) : "\xE2\x96\x81" + token;
    }
    for (const auto& [token, key] : {std::pair("[CLS]", "cls_token_id"),
                                     {"[SEP]", "seperator_token_id"},
                                     {"[PAD]", "padding_token_id"},
                                     {"[MASK]", "mask_token_id"}})
      if (const auto id = id_of(token)) set(key, static_cast<uint32_t>(*id));
    if (const auto id = id_of("[CLS]")) set("bos_token_id", static_cast<uint32_t>(*id));
  }

  /// What surrounds a text is found by encoding one.
  void special_ids() {
    const auto tokenizer = Tokenizer::load(directory_);
    if (const auto bos = tokenizer->bos()) set("bos_token_id", static_cast<uint32_t>(*bos));
    if (const auto eos = tokenizer->eos()) set("eos_token_id", static_cast<uint32_t>(*eos));
    const auto bare = tokenizer->encode("a", false), whole = tokenizer->encode("a", true);
    const auto at = std::search(whole.begin(), whole.end(), bare.begin(), bare.end());
    set("add_bos_token", at != whole.begin());
    set("add_eos_token", static_cast<size_t>(whole.end() - at) > bare.size());
  }

  fs::path directory_;
  gguf::Metadata& out_;
  std::string where_;
  json tokenizer_;
  int64_t rows_;
  std::vector<json> normalizers_, pre_tokenizers_;
  std::vector<std::string> tokens_;
  std::vector<int32_t> types_;
};

}  // namespace

void describe_tokenizer(const Model& model, gguf::Metadata& metadata,
                        std::vector<Fallback>& fallbacks) {
  fs::path source = model.path;
  if (fs::is_directory(source) && fs::exists(source / "tokenizer.json")) {
    Vocabulary(model, metadata).write();
  } else if (const auto file = gguf::find_model_file(source)) {
    const gguf::File opened = gguf::File::open(*file);
    for (const auto& [key, value] : opened.metadata().entries())
      if (key.starts_with("tokenizer.")) metadata.set(key, value);
  } else {
    metadata.set("tokenizer.ggml.model", std::string("no_vocab"));
    fallbacks.push_back(
        {"the file has no vocabulary", source.string(), "the model has no tokenizer.json"});
  }
  const auto id = [&](const char* key, std::optional<int64_t> value) {
    const std::string name = std::string("tokenizer.ggml.") + key;
    if (value && !metadata.has(name)) metadata.set(name, static_cast<uint32_t>(*value));
  };
  const ModelSpec& spec = model.spec;
  id("bos_token_id", spec.bos_id);
  if (!spec.eos_ids.empty()) id("eos_token_id", spec.eos_ids.front());
  id("padding_token_id", spec.pad_id);
}

}  // namespace attar::gguf_export
