#include "compress/tokenizer/fields.h"

#include <fmt/core.h>

#include <utility>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/formats/json.h"
#include "compress/tokenizer/unicode.h"

namespace attar {

Fields::Fields(const nlohmann::json& json, std::string where)
    : json_(&json), where_(std::move(where)) {
  if (!json.is_object()) throw bad_input("an object {…} is expected here", where_);
}

const nlohmann::json* Fields::find(const std::string& key) {
  asked_.insert(key);
  const auto found = json_->find(key);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

const nlohmann::json& Fields::need(const std::string& key) {
  const auto* value = find(key);
  if (!value) throw bad_input(fmt::format("the key \"{}\" is missing", key), where_);
  return *value;
}

std::string Fields::text(const std::string& key) {
  const auto& value = need(key);
  if (!value.is_string()) throw bad_input("a text is expected here", where(key));
  return value.get<std::string>();
}

bool Fields::flag(const std::string& key) {
  const auto& value = need(key);
  if (!value.is_boolean()) throw bad_input("true or false is expected here", where(key));
  return value.get<bool>();
}

int64_t Fields::integer(const std::string& key) {
  const auto number = json_integer(need(key));
  if (!number) throw bad_input("an integer is expected here", where(key));
  return *number;
}

std::string Fields::text(const std::string& key, std::string otherwise) {
  return find(key) ? text(key) : std::move(otherwise);
}

bool Fields::flag(const std::string& key, bool otherwise) {
  return find(key) ? flag(key) : otherwise;
}

int64_t Fields::integer(const std::string& key, int64_t otherwise) {
  return find(key) ? integer(key) : otherwise;
}

char32_t Fields::character(const std::string& key) {
  const std::string value = text(key);
  if (value.empty() || utf8_length(value[0]) != value.size())
    throw bad_input("one character is expected here", where(key));
  size_t at = 0;
  return next_character(value, at);
}

Fields Fields::child(const std::string& key) {
  return {need(key), where(key)};
}

std::vector<Fields> Fields::children(const std::string& key) {
  const auto& list = need(key);
  if (!list.is_array()) throw bad_input("a list is expected here", where(key));
  std::vector<Fields> result;
  for (size_t i = 0; i < list.size(); ++i)
    result.emplace_back(list[i], fmt::format("{}[{}]", where(key), i));
  return result;
}

Fields::PatternText Fields::pattern(const std::string& key) {
  Fields inner = child(key);
  const bool regex = inner.find("Regex") != nullptr;
  PatternText result{regex, inner.text(regex ? "Regex" : "String")};
  inner.finish();
  return result;
}

void Fields::finish() const {
  for (const auto& [key, value] : json_->items())
    if (!asked_.contains(key))
      throw bad_input(fmt::format("the key \"{}\" is not known, and could change token ids", key),
                      where_);
}

void throw_unknown_component(std::string_view kind, const std::string& type,
                             const std::string& where, const std::vector<std::string>& known) {
  throw bad_input(fmt::format("the {} \"{}\" is not implemented", kind, type), where,
                  suggest(type, known));
}

}  // namespace attar
