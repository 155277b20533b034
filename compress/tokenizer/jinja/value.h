// Python's meaning of values, as templates see them; internal to jinja/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compress/tokenizer/jinja/jinja.h"

namespace attar::jinja {

/// What a variable or expression is; `undefined` is no value at all.
struct Item {
  Value value;
  bool undefined = false;
};

/// Thrown by operations without a place; the evaluator adds it.
struct Problem {
  std::string what;
};

bool truthy(const Item& item);
/// As {{ … }} prints it: str() of Python.
std::string to_text(const Item& item);
/// json.dumps(ensure_ascii=False), with ", " and ": " between parts unless indented.
std::string to_json_text(const Value& value, std::optional<int> indent);

Item binary_operation(const std::string& op, const Item& left, const Item& right);
Item slice(const Value& of, const std::optional<int64_t>& from, const std::optional<int64_t>& to,
           int64_t step);
/// A string's characters (UTF-8), a list's items, a map's keys.
std::vector<Value> items_of(const Item& item);
int64_t length_of(const Item& item);

/// Arguments of a filter, test, method or function.
struct Arguments {
  std::vector<Item> positional;
  std::vector<std::pair<std::string, Item>> named;
  /// The i-th positional argument or the one named so; nothing when absent.
  const Item* get(size_t i, const char* name) const;
};

/// value | name(arguments); throws Problem for an unknown filter.
Item apply_filter(const std::string& name, const Item& value, const Arguments& arguments);
/// value is name(arguments)
bool apply_test(const std::string& name, const Item& value, const Arguments& arguments);
/// value.name(arguments) for strings and maps.
Item call_method(const std::string& name, const Item& value, const Arguments& arguments);

}  // namespace attar::jinja
