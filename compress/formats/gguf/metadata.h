// The key-value part of a GGUF file (ggml-org/ggml, docs/gguf.md): typed values under dotted keys,
// "llama.attention.head_count". Read from strangers' files and built for our own.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "compress/base/error.h"

namespace attar::gguf {

/// Every type of the format, and arrays of each; arrays of arrays, which no known file holds, are
/// refused.
using Value = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool,
                           std::string, uint64_t, int64_t, double, std::vector<uint8_t>,
                           std::vector<int8_t>, std::vector<uint16_t>, std::vector<int16_t>,
                           std::vector<uint32_t>, std::vector<int32_t>, std::vector<float>,
                           std::vector<bool>, std::vector<std::string>, std::vector<uint64_t>,
                           std::vector<int64_t>, std::vector<double>>;

/// "u32 7", "f32[3]", "string[32000]": for listings.
std::string describe(const Value& value);

class Metadata {
 public:
  using Entry = std::pair<std::string, Value>;

  /// `where` is the file's path, for messages.
  explicit Metadata(std::string where = {}) : where_(std::move(where)) {}

  const std::string& where() const { return where_; }
  const std::vector<Entry>& entries() const { return entries_; }  // in file order
  const Value* find(std::string_view key) const;
  bool has(std::string_view key) const { return find(key) != nullptr; }

  /// Adds the key, or replaces its value in place.
  void set(std::string_view key, Value value);

  // The typed getters take every width of a type, give nothing when the key is absent, and throw
  // bad_input naming it when its value is of another kind or out of range.
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;  // integers too
  std::optional<bool> flag(std::string_view key) const;
  const std::string* text(std::string_view key) const;
  /// Arrays; a single value is not one.
  const std::vector<std::string>* texts(std::string_view key) const;
  std::optional<std::vector<int64_t>> integers(std::string_view key) const;
  std::optional<std::vector<float>> floats(std::string_view key) const;
  std::optional<std::vector<bool>> flags(std::string_view key) const;

  /// The same for keys that must be there.
  int64_t required_integer(std::string_view key) const;
  double required_number(std::string_view key) const;
  const std::string& required_text(std::string_view key) const;

  /// bad_input at `key`.
  Error error(std::string_view key, const std::string& what, const std::string& hint = {}) const;

 private:
  Error wrong(std::string_view key, const Value& value, const char* expected) const;
  Error missing(std::string_view key) const;

  std::string where_;
  std::vector<Entry> entries_;
  std::map<std::string, size_t, std::less<>> index_;
};

}  // namespace attar::gguf
