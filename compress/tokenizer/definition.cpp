#include "compress/tokenizer/definition.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "compress/base/error.h"
#include "compress/formats/json.h"

namespace attar {
namespace {

/// Replaces the entry of the same id, or of the same text, or is appended.
void set_added(nlohmann::json& added, nlohmann::json token) {
  const auto same = std::find_if(added.begin(), added.end(), [&](const nlohmann::json& other) {
    return other["id"] == token["id"] || other["content"] == token["content"];
  });
  if (same == added.end())
    added.push_back(std::move(token));
  else
    *same = std::move(token);
}

}  // namespace

nlohmann::json added_token(const std::string& content, int64_t id, bool special) {
  return {{"content", content}, {"id", id}, {"special", special}, {"normalized", false}};
}

nlohmann::json surrounded_by(std::optional<int64_t> before, std::optional<int64_t> behind) {
  if (!before && !behind) return nullptr;
  nlohmann::json single = nlohmann::json::array(), tokens = nlohmann::json::object();
  const auto add = [&](const char* name, const std::optional<int64_t>& id) {
    if (!id) return;
    single.push_back({{"SpecialToken", {{"id", name}, {"type_id", 0}}}});
    tokens[name] = {{"id", name}, {"ids", {*id}}, {"tokens", {name}}};
  };
  add("before", before);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  add("behind", behind);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", tokens}};
}

nlohmann::json bracketed_by(const char* type, int64_t begin, int64_t end) {
  const auto token = [](const char* name, int64_t id) { return nlohmann::json::array({name, id}); };
  return {{"type", type}, {"cls", token("begin", begin)}, {"sep", token("end", end)}};
}

nlohmann::json tokenizer_config(const fs::path& directory) {
  const fs::path path = directory / "tokenizer_config.json";
  if (!fs::exists(path)) return nlohmann::json::object();
  auto json = parse_json<nlohmann::json>(read_text(path), path.string());
  if (!json.is_object()) throw bad_input("an object {…} is expected here", path.string());
  return json;
}

void add_configured_tokens(const fs::path& directory, nlohmann::json& added) {
  const auto config = tokenizer_config(directory);
  const std::string where =
      fmt::format("{}: added_tokens_decoder", (directory / "tokenizer_config.json").string());
  if (const auto list = config.find("added_tokens_decoder"); list != config.end()) {
    if (!list->is_object()) throw bad_input("an object {…} is expected here", where);
    for (const auto& [key, token] : list->items()) {
      int64_t id = -1;
      const auto [stop, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || stop != key.data() + key.size() || !token.is_object() ||
          !token.contains("content"))
        throw bad_input("an id and its token are expected here", fmt::format("{}.{}", where, key));
      nlohmann::json entry = token;
      entry["id"] = id;
      entry["normalized"] = false;  // tokenizers without a tokenizer.json look in the raw text
      set_added(added, std::move(entry));
    }
  }
  const fs::path path = directory / "added_tokens.json";
  if (!fs::exists(path)) return;
  const auto json = parse_json<nlohmann::json>(read_text(path), path.string());
  if (!json.is_object()) throw bad_input("an object {…} is expected here", path.string());
  for (const auto& item : json.items()) {
    const std::string& content = item.key();
    const auto id = json_integer(item.value());
    if (!id)
      throw bad_input("a token id is expected here", fmt::format("{}: {}", path.string(), content));
    const bool known = std::any_of(added.begin(), added.end(), [&](const nlohmann::json& other) {
      return other["content"] == content;
    });
    if (!known) set_added(added, added_token(content, *id, false));
  }
}

}  // namespace attar
