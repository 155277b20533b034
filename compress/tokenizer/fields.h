// A component of tokenizer.json ({"type": "Split", …}) as input from strangers: typed access with
// places, and a complaint about every key that nobody asked for, because such a key could change
// ids.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace attar {

class Fields {
 public:
  /// `where` is the place for messages: "tokenizer.json: normalizer". Not an object: bad_input.
  /// `json` must outlive this.
  Fields(const nlohmann::json& json, std::string where);

  const std::string& where() const { return where_; }
  std::string where(std::string_view key) const { return where_ + "." + std::string(key); }

  /// Null when the key is absent or null.
  const nlohmann::json* find(const std::string& key);
  /// bad_input when absent, null or of another type.
  std::string text(const std::string& key);
  bool flag(const std::string& key);
  int64_t integer(const std::string& key);
  /// The default when absent or null; bad_input when of another type.
  std::string text(const std::string& key, std::string otherwise);
  bool flag(const std::string& key, bool otherwise);
  int64_t integer(const std::string& key, int64_t otherwise);
  /// One character.
  char32_t character(const std::string& key);
  Fields child(const std::string& key);
  /// The objects of a list.
  std::vector<Fields> children(const std::string& key);
  /// {"String": s} or {"Regex": r}.
  struct PatternText {
    bool regex;
    std::string text;
  };
  PatternText pattern(const std::string& key);

  /// bad_input naming a key that was never asked for.
  void finish() const;

 private:
  const nlohmann::json& need(const std::string& key);

  const nlohmann::json* json_;
  std::string where_;
  std::set<std::string> asked_;
};

/// One row of a table of components.
template <class Component>
struct ComponentRow {
  std::string_view type;
  std::unique_ptr<Component> (*make)(Fields& fields);
};

[[noreturn]] void throw_unknown_component(std::string_view kind, const std::string& type,
                                          const std::string& where,
                                          const std::vector<std::string>& known);

/// The component that `fields` describes; bad_input for a type without a row.
template <class Component>
std::unique_ptr<Component> make_component(std::span<const ComponentRow<Component>> table,
                                          std::string_view kind, Fields fields) {
  const std::string type = fields.text("type");
  std::vector<std::string> known;
  for (const auto& row : table) {
    if (row.type == type) {
      auto component = row.make(fields);
      fields.finish();
      return component;
    }
    known.emplace_back(row.type);
  }
  throw_unknown_component(kind, type, fields.where(), known);
}

}  // namespace attar
