#include "compress/architecture/config_reader.h"

#include <cmath>

#include "compress/formats/json.h"

namespace attar {

using nlohmann::ordered_json;

ConfigReader::ConfigReader(const ordered_json& config, std::string where, std::string prefix)
    : config_(&config), where_(std::move(where)), prefix_(std::move(prefix)) {
  if (!config.is_object())
    throw bad_input("not a JSON object", prefix_.empty() ? where_ : where_ + ": " + prefix_);
}

const ordered_json* ConfigReader::find(const char* key) const {
  const auto found = config_->find(key);
  return found == config_->end() || found->is_null() ? nullptr : &*found;
}

Error ConfigReader::error(const char* key, const std::string& what, const std::string& hint) const {
  return bad_input(what, fmt::format("{}: {}{}", where_, prefix_, key), hint);
}

Error ConfigReader::wrong(const char* key, const ordered_json& value, const char* expected) const {
  return error(key, fmt::format("{} is {}, expected {}", key, value.dump(), expected));
}

int64_t ConfigReader::checked_size(const char* key, const ordered_json& value) const {
  constexpr int64_t kMost = int64_t{1} << 31;  // so that products of two sizes fit 64 bits
  const auto number = json_integer(value);
  if (!number || *number < 1 || *number > kMost) throw wrong(key, value, "a positive whole number");
  return *number;
}

int64_t ConfigReader::size(const char* key) const {
  const ordered_json* value = find(key);
  if (value == nullptr) throw error(key, fmt::format("{} is missing", key));
  return checked_size(key, *value);
}

std::optional<int64_t> ConfigReader::optional_size(const char* key) const {
  const ordered_json* value = find(key);
  if (value == nullptr) return {};
  return checked_size(key, *value);
}

std::optional<int64_t> ConfigReader::optional_integer(const char* key) const {
  const ordered_json* value = find(key);
  if (value == nullptr) return {};
  const auto number = json_integer(*value);
  if (!number) throw wrong(key, *value, "a whole number");
  return number;
}

std::optional<double> ConfigReader::optional_positive(const char* key) const {
  const ordered_json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_number() || !std::isfinite(value->get<double>()) || value->get<double>() <= 0)
    throw wrong(key, *value, "a positive number");
  return value->get<double>();
}

double ConfigReader::positive(const char* key) const {
  const auto value = optional_positive(key);
  if (!value) throw error(key, fmt::format("{} is missing", key));
  return *value;
}

bool ConfigReader::flag(const char* key, bool fallback) const {
  const ordered_json* value = find(key);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) throw wrong(key, *value, "true or false");
  return value->get<bool>();
}

std::optional<std::string> ConfigReader::optional_text(const char* key) const {
  const ordered_json* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_string()) throw wrong(key, *value, "a text");
  return value->get<std::string>();
}

std::vector<int64_t> ConfigReader::ids(const char* key) const {
  const ordered_json* value = find(key);
  if (value == nullptr) return {};
  std::vector<int64_t> result;
  const auto add = [&](const ordered_json& entry) {
    const auto number = json_integer(entry);
    if (!number || *number < 0) throw wrong(key, *value, "a token id or a list of token ids");
    result.push_back(*number);
  };
  if (value->is_array())
    for (const auto& entry : *value) add(entry);
  else
    add(*value);
  return result;
}

std::optional<std::vector<std::string>> ConfigReader::optional_texts(const char* key) const {
  const ordered_json* value = find(key);
  if (value == nullptr) return {};
  std::vector<std::string> result;
  if (!value->is_array()) throw wrong(key, *value, "a list of texts");
  for (const auto& entry : *value) {
    if (!entry.is_string()) throw wrong(key, *value, "a list of texts");
    result.push_back(entry.get<std::string>());
  }
  return result;
}

std::optional<std::vector<int64_t>> ConfigReader::optional_integers(const char* key) const {
  const ordered_json* value = find(key);
  if (value == nullptr) return {};
  std::vector<int64_t> result;
  if (!value->is_array()) throw wrong(key, *value, "a list of whole numbers");
  for (const auto& entry : *value) {
    const auto number = json_integer(entry);
    if (!number) throw wrong(key, *value, "a list of whole numbers");
    result.push_back(*number);
  }
  return result;
}

std::optional<std::vector<double>> ConfigReader::optional_numbers(const char* key) const {
  const ordered_json* value = find(key);
  if (value == nullptr) return {};
  std::vector<double> result;
  if (!value->is_array()) throw wrong(key, *value, "a list of numbers");
  for (const auto& entry : *value) {
    if (!entry.is_number() || !std::isfinite(entry.get<double>()))
      throw wrong(key, *value, "a list of numbers");
    result.push_back(entry.get<double>());
  }
  return result;
}

std::optional<ConfigReader> ConfigReader::optional_object(const char* key) const {
  const ordered_json* value = find(key);
  if (value == nullptr) return {};
  return ConfigReader(*value, where_, prefix_ + key + ".");
}

}  // namespace attar
