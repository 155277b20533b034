#include "eval/tasks/fields.h"

#include <fmt/format.h>

#include <charconv>

#include "compress/base/error.h"
#include "compress/base/nearest.h"

namespace attar::eval {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

const Json& field(const TaskRow& row, std::string_view name) {
  const auto found = row.json.find(name);
  if (found != row.json.end()) return *found;
  std::vector<std::string> keys;
  for (const auto& [key, value] : row.json.items()) keys.push_back(key);
  throw bad_input(fmt::format("the field \"{}\" is missing", name), row.where, suggest(name, keys));
}

std::string text_field(const TaskRow& row, std::string_view name) {
  const Json& value = field(row, name);
  if (!value.is_string())
    throw bad_input(fmt::format("the field \"{}\" is not a text", name), row.where);
  return value.get<std::string>();
}

std::vector<std::string> texts_field(const TaskRow& row, std::string_view name) {
  const Json& value = field(row, name);
  if (!value.is_array() || value.size() < 2)
    throw bad_input(fmt::format("the field \"{}\" is not a list of at least two texts", name),
                    row.where);
  std::vector<std::string> texts;
  for (const auto& item : value) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty())
      throw bad_input(fmt::format("item {} of the field \"{}\" is not a text", texts.size(), name),
                      row.where);
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

size_t label_field(const TaskRow& row, std::string_view name, size_t count) {
  const Json& value = field(row, name);
  int64_t label = -1;
  if (value.is_number_integer()) {
    label = value.get<int64_t>();
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), label);
    if (text.size() == 1 && text[0] >= 'A' && text[0] <= 'Z')
      label = text[0] - 'A';
    else if (error != std::errc() || end != text.data() + text.size())
      label = -1;
  }
  if (label < 0 || label >= static_cast<int64_t>(count))
    throw bad_input(
        fmt::format("the field \"{}\" is {}, and the {} choices are 0 to {} or A to {}", name,
                    value.dump(), count, count - 1, static_cast<char>('A' + count - 1)),
        row.where);
  return static_cast<size_t>(label);
}

bool has_fields(const Json& row, std::initializer_list<std::string_view> names) {
  for (const auto name : names)
    if (!row.contains(name)) return false;
  return true;
}

Example choices_example(const TaskRow& row, std::string prompt, std::vector<std::string> choices,
                        size_t label) {
  Example example;
  example.prompt = std::move(prompt);
  example.worth.assign(choices.size(), 0);
  example.worth[label] = 1;
  example.choices = std::move(choices);
  example.where = row.where;
  return example;
}

}  // namespace attar::eval
