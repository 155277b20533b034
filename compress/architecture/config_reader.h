// Typed access to a config.json: every mistake names the file and the key.
#pragma once

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compress/base/error.h"

namespace attar {

class ConfigReader {
 public:
  /// `config` must outlive the reader. `where` is the file's path; `prefix` the keys that lead to
  /// `config`.
  ConfigReader(const nlohmann::ordered_json& config, std::string where, std::string prefix = {});

  /// Present and not null.
  bool has(const char* key) const { return find(key) != nullptr; }

  /// How many keys the object has.
  size_t keys() const { return config_->size(); }

  /// A required integer in [1, 2^31].
  int64_t size(const char* key) const;
  /// The same, or nothing when absent or null.
  std::optional<int64_t> optional_size(const char* key) const;
  std::optional<int64_t> optional_integer(const char* key) const;
  /// A finite number > 0.
  std::optional<double> optional_positive(const char* key) const;
  double positive(const char* key) const;
  /// `fallback` is the default that the family's published configuration class has.
  bool flag(const char* key, bool fallback) const;
  std::optional<std::string> optional_text(const char* key) const;
  /// One non-negative integer or a list of them; empty when absent or null.
  std::vector<int64_t> ids(const char* key) const;
  std::optional<std::vector<std::string>> optional_texts(const char* key) const;
  std::optional<std::vector<int64_t>> optional_integers(const char* key) const;
  std::optional<std::vector<double>> optional_numbers(const char* key) const;
  /// An object below `key`, or nothing when absent or null.
  std::optional<ConfigReader> optional_object(const char* key) const;

  /// bad_input at `key`.
  Error error(const char* key, const std::string& what, const std::string& hint = {}) const;

 private:
  const nlohmann::ordered_json* find(const char* key) const;
  int64_t checked_size(const char* key, const nlohmann::ordered_json& value) const;
  Error wrong(const char* key, const nlohmann::ordered_json& value, const char* expected) const;

  const nlohmann::ordered_json* config_;
  std::string where_, prefix_;
};

}  // namespace attar
