// Filters, tests and methods, each a row of a table.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>
#include <map>

#include "compress/tokenizer/jinja/value.h"

namespace attar::jinja {
namespace {

constexpr const char* kBlanks = " \t\n\r\f\v";

std::string strip(const std::string& text, const std::string& letters, bool left, bool right) {
  size_t begin = 0, end = text.size();
  if (left) begin = std::min(text.find_first_not_of(letters), end);
  if (right) {
    const auto last = text.find_last_not_of(letters);
    end = last == std::string::npos ? begin : std::max(begin, last + 1);
  }
  return text.substr(begin, end - begin);
}

/// ASCII letters only: templates change the case of role names.
std::string map_letters(std::string text, int (*change)(int)) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 128)
      c = static_cast<char>(change(static_cast<unsigned char>(c)));
  return text;
}

std::string capitalize(const std::string& text) {
  auto out = map_letters(text, std::tolower);
  if (!out.empty()) out[0] = map_letters(out.substr(0, 1), std::toupper)[0];
  return out;
}

std::string title(const std::string& text) {
  auto out = map_letters(text, std::tolower);
  bool start = true;
  for (char& c : out) {
    const bool letter = std::isalpha(static_cast<unsigned char>(c)) != 0;
    if (letter && start) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    start = !letter;
  }
  return out;
}

std::string replace(std::string text, const std::string& from, const std::string& to) {
  if (from.empty()) throw Problem{"replace needs a text to look for"};
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

Value split(const std::string& text, const std::optional<std::string>& separator, int64_t most) {
  Value parts = Value::array();
  size_t at = 0;
  if (!separator) {  // runs of blanks part the words
    for (;;) {
      at = text.find_first_not_of(kBlanks, at);
      if (at == std::string::npos) return parts;
      const auto end = std::ssize(parts) == most
                           ? text.size()
                           : std::min(text.find_first_of(kBlanks, at), text.size());
      parts.push_back(strip(text.substr(at, end - at), kBlanks, false, true));
      at = end;
    }
  }
  if (separator->empty()) throw Problem{"split needs a separator"};
  for (; std::ssize(parts) != most;) {
    const auto end = text.find(*separator, at);
    if (end == std::string::npos) break;
    parts.push_back(text.substr(at, end - at));
    at = end + separator->size();
  }
  parts.push_back(text.substr(at));
  return parts;
}

const std::string& string_of(const Item& item, const char* who) {
  if (item.undefined || !item.value.is_string())
    throw Problem{std::string(who) + " needs a string"};
  return item.value.get_ref<const std::string&>();
}

std::string string_argument(const Arguments& a, size_t i, const char* name, const char* who) {
  const Item* item = a.get(i, name);
  if (!item) throw Problem{std::string(who) + " needs an argument"};
  return string_of(*item, who);
}

int64_t integer_of(const Item& item, const char* who) {
  if (item.undefined || !item.value.is_number())
    throw Problem{std::string(who) + " needs a number"};
  return item.value.get<int64_t>();
}

Value as_list(const Item& item) {
  return Value(items_of(item));
}

/// item.attribute, with dots for nested ones.
Item attribute_of(const Value& value, const std::string& path) {
  Item current{value};
  for (const auto& part : split(path, ".", -1)) {
    const auto& key = part.get_ref<const std::string&>();
    if (current.undefined || !current.value.is_object() || !current.value.contains(key))
      return {{}, true};
    current = {Value(current.value[key])};
  }
  return current;
}

/// select / reject (by the item itself) and selectattr / rejectattr (by one of its attributes).
Item select(const Item& value, const Arguments& a, bool by_attribute, bool keep) {
  Value picked = Value::array();
  const size_t first = by_attribute ? 1 : 0;
  Arguments rest;
  for (size_t i = first + 1; i < a.positional.size(); ++i)
    rest.positional.push_back(a.positional[i]);
  for (const auto& item : items_of(value)) {
    const Item subject = by_attribute
                             ? attribute_of(item, string_argument(a, 0, "attribute", "selectattr"))
                             : Item{item};
    const bool holds = a.positional.size() > first
                           ? apply_test(string_of(a.positional[first], "select"), subject, rest)
                           : truthy(subject);
    if (holds == keep) picked.push_back(item);
  }
  return {picked};
}

Item map_items(const Item& value, const Arguments& a) {
  Value out = Value::array();
  const Item* attribute = a.get(a.positional.size(), "attribute");
  if (!attribute && a.positional.empty()) throw Problem{"map needs a filter or an attribute"};
  Arguments rest;
  for (size_t i = 1; i < a.positional.size(); ++i) rest.positional.push_back(a.positional[i]);
  for (const auto& item : items_of(value)) {
    const Item mapped = attribute ? attribute_of(item, string_of(*attribute, "map"))
                                  : apply_filter(string_of(a.positional[0], "map"), {item}, rest);
    out.push_back(mapped.undefined ? Value() : mapped.value);
  }
  return {out};
}

Item pairs(const Item& value) {
  Value list = Value::array();
  if (value.undefined) return {list};
  if (!value.value.is_object()) throw Problem{"items needs a map"};
  for (const auto& [key, item] : value.value.items()) list.push_back(Value::array({key, item}));
  return {list};
}

Item join(const Item& value, const Arguments& a) {
  const Item* separator = a.get(0, "d");
  std::string out;
  bool first = true;
  for (const auto& item : items_of(value)) {
    if (!std::exchange(first, false) && separator) out += to_text(*separator);
    out += to_text({item});
  }
  return {out};
}

Item end_of(const Item& value, bool last) {
  const auto list = items_of(value);
  if (list.empty()) return {{}, true};
  return {last ? list.back() : list.front()};
}

Item to_integer(const Item& value) {
  if (!value.undefined && value.value.is_number())
    return {static_cast<int64_t>(std::trunc(value.value.get<double>()))};
  if (!value.undefined && value.value.is_string()) {
    const auto& text = value.value.get_ref<const std::string&>();
    char* end = nullptr;
    const auto number = std::strtoll(text.c_str(), &end, 10);
    if (end != text.c_str() && *end == 0) return {static_cast<int64_t>(number)};
  }
  return {static_cast<int64_t>(0)};
}

Item indent(const Item& value, const Arguments& a) {
  const Item* width = a.get(0, "width");
  const Item* first = a.get(1, "first");
  const std::string blanks(
      static_cast<size_t>(std::clamp<int64_t>(width ? integer_of(*width, "indent") : 4, 0, 1000)),
      ' ');
  const std::string text = string_of(value, "indent");
  std::string out = first && truthy(*first) ? blanks : "";
  for (size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (text[i] == '\n' && i + 1 < text.size() && text[i + 1] != '\n') out += blanks;
  }
  return {out};
}

Item unique(const Item& value) {
  Value out = Value::array();
  for (const auto& item : items_of(value))
    if (std::find(out.begin(), out.end(), item) == out.end()) out.push_back(item);
  return {out};
}

Item default_value(const Item& value, const Arguments& a) {
  const Item* otherwise = a.get(0, "default_value");
  const Item* also_false = a.get(1, "boolean");
  const bool use = value.undefined || (also_false && truthy(*also_false) && !truthy(value));
  return use ? (otherwise ? *otherwise : Item{""}) : value;
}

Item json_filter(const Item& value, const Arguments& a) {
  if (value.undefined) throw Problem{"tojson of an undefined value"};
  const Item* width = a.get(0, "indent");
  std::optional<int> spaces;
  if (width && truthy(*width))
    spaces = static_cast<int>(std::clamp<int64_t>(integer_of(*width, "tojson"), 0, 100));
  return {to_json_text(value.value, spaces)};
}

using Filter = std::function<Item(const Item&, const Arguments&)>;

const std::map<std::string, Filter>& filters() {
  static const std::map<std::string, Filter> table = {
      {"trim", [](const Item& v,
                  const Arguments&) { return Item{strip(to_text(v), kBlanks, true, true)}; }},
      {"length", [](const Item& v, const Arguments&) { return Item{length_of(v)}; }},
      {"count", [](const Item& v, const Arguments&) { return Item{length_of(v)}; }},
      {"upper",
       [](const Item& v, const Arguments&) { return Item{map_letters(to_text(v), std::toupper)}; }},
      {"lower",
       [](const Item& v, const Arguments&) { return Item{map_letters(to_text(v), std::tolower)}; }},
      {"title", [](const Item& v, const Arguments&) { return Item{title(to_text(v))}; }},
      {"capitalize", [](const Item& v, const Arguments&) { return Item{capitalize(to_text(v))}; }},
      {"string", [](const Item& v, const Arguments&) { return Item{to_text(v)}; }},
      {"safe", [](const Item& v, const Arguments&) { return v; }},
      {"int", [](const Item& v, const Arguments&) { return to_integer(v); }},
      {"list", [](const Item& v, const Arguments&) { return Item{as_list(v)}; }},
      {"items", [](const Item& v, const Arguments&) { return pairs(v); }},
      {"first", [](const Item& v, const Arguments&) { return end_of(v, false); }},
      {"last", [](const Item& v, const Arguments&) { return end_of(v, true); }},
      {"unique", [](const Item& v, const Arguments&) { return unique(v); }},
      {"reverse", [](const Item& v, const Arguments&) { return slice(v.value, {}, {}, -1); }},
      {"join", join},
      {"default", default_value},
      {"d", default_value},
      {"tojson", json_filter},
      {"indent", indent},
      {"map", map_items},
      {"select", [](const Item& v, const Arguments& a) { return select(v, a, false, true); }},
      {"reject", [](const Item& v, const Arguments& a) { return select(v, a, false, false); }},
      {"selectattr", [](const Item& v, const Arguments& a) { return select(v, a, true, true); }},
      {"rejectattr", [](const Item& v, const Arguments& a) { return select(v, a, true, false); }},
      {"replace",
       [](const Item& v, const Arguments& a) {
         return Item{replace(to_text(v), string_argument(a, 0, "old", "replace"),
                             string_argument(a, 1, "new", "replace"))};
       }},
  };
  return table;
}

using Test = std::function<bool(const Item&, const Arguments&)>;

const Item& test_argument(const Arguments& a) {
  if (a.positional.empty()) throw Problem{"this test needs an argument"};
  return a.positional[0];
}

bool defined_number(const Item& v) {
  return !v.undefined && v.value.is_number();
}

const std::map<std::string, Test>& tests() {
  static const std::map<std::string, Test> table = {
      {"defined", [](const Item& v, const Arguments&) { return !v.undefined; }},
      {"undefined", [](const Item& v, const Arguments&) { return v.undefined; }},
      {"none", [](const Item& v, const Arguments&) { return !v.undefined && v.value.is_null(); }},
      {"string",
       [](const Item& v, const Arguments&) { return !v.undefined && v.value.is_string(); }},
      {"number",
       [](const Item& v, const Arguments&) {
         return defined_number(v) || (!v.undefined && v.value.is_boolean());
       }},
      {"integer", [](const Item& v,
                     const Arguments&) { return defined_number(v) && !v.value.is_number_float(); }},
      {"float", [](const Item& v,
                   const Arguments&) { return defined_number(v) && v.value.is_number_float(); }},
      {"boolean",
       [](const Item& v, const Arguments&) { return !v.undefined && v.value.is_boolean(); }},
      {"true", [](const Item& v, const Arguments&) { return !v.undefined && v.value == true; }},
      {"false", [](const Item& v, const Arguments&) { return !v.undefined && v.value == false; }},
      {"mapping",
       [](const Item& v, const Arguments&) { return !v.undefined && v.value.is_object(); }},
      {"iterable",
       [](const Item& v, const Arguments&) {
         return v.undefined || v.value.is_structured() || v.value.is_string();
       }},
      {"sequence",
       [](const Item& v, const Arguments&) {
         return v.undefined || v.value.is_structured() || v.value.is_string();
       }},
      {"odd", [](const Item& v, const Arguments&) { return integer_of(v, "odd") % 2 != 0; }},
      {"even", [](const Item& v, const Arguments&) { return integer_of(v, "even") % 2 == 0; }},
      {"divisibleby",
       [](const Item& v, const Arguments& a) {
         return truthy(binary_operation("==", binary_operation("%", v, test_argument(a)), {0}));
       }},
      {"equalto",
       [](const Item& v, const Arguments& a) {
         return truthy(binary_operation("==", v, test_argument(a)));
       }},
      {"eq",
       [](const Item& v, const Arguments& a) {
         return truthy(binary_operation("==", v, test_argument(a)));
       }},
      {"sameas",
       [](const Item& v, const Arguments& a) {
         return truthy(binary_operation("==", v, test_argument(a)));
       }},
      {"ne",
       [](const Item& v, const Arguments& a) {
         return truthy(binary_operation("!=", v, test_argument(a)));
       }},
      {"in",
       [](const Item& v, const Arguments& a) {
         return truthy(binary_operation("in", v, test_argument(a)));
       }},
  };
  return table;
}

bool affix(const std::string& text, const Arguments& a, bool start) {
  const Item* item = a.get(0, "prefix");
  if (!item || item->undefined) throw Problem{"startswith / endswith need a text"};
  const auto one = [&](const Value& v) {
    const std::string word = string_of({v}, "startswith / endswith");
    return start ? text.starts_with(word) : text.ends_with(word);
  };
  if (!item->value.is_array()) return one(item->value);
  return std::any_of(item->value.begin(), item->value.end(), one);
}

Item string_method(const std::string& name, const std::string& text, const Arguments& a) {
  const auto letters = [&] {
    return a.positional.empty() ? std::string(kBlanks) : string_of(a.positional[0], "strip");
  };
  if (name == "strip") return {strip(text, letters(), true, true)};
  if (name == "lstrip") return {strip(text, letters(), true, false)};
  if (name == "rstrip") return {strip(text, letters(), false, true)};
  if (name == "upper") return {map_letters(text, std::toupper)};
  if (name == "lower") return {map_letters(text, std::tolower)};
  if (name == "title") return {title(text)};
  if (name == "capitalize") return {capitalize(text)};
  if (name == "startswith") return {affix(text, a, true)};
  if (name == "endswith") return {affix(text, a, false)};
  if (name == "replace")
    return {replace(text, string_argument(a, 0, "old", "replace"),
                    string_argument(a, 1, "new", "replace"))};
  if (name == "find") {
    const auto at = text.find(string_argument(a, 0, "sub", "find"));
    return {at == std::string::npos ? int64_t{-1} : static_cast<int64_t>(at)};
  }
  if (name == "split") {
    const Item* separator = a.get(0, "sep");
    const Item* most = a.get(1, "maxsplit");
    std::optional<std::string> by;
    if (separator && !separator->undefined && !separator->value.is_null())
      by = string_of(*separator, "split");
    return {split(text, by, most ? integer_of(*most, "split") : -1)};
  }
  throw Problem{"strings have no method '" + name + "' here"};
}

}  // namespace

Item apply_filter(const std::string& name, const Item& value, const Arguments& arguments) {
  const auto row = filters().find(name);
  if (row == filters().end()) throw Problem{"filter '" + name + "' is not supported"};
  return row->second(value, arguments);
}

bool apply_test(const std::string& name, const Item& value, const Arguments& arguments) {
  const auto row = tests().find(name);
  if (row == tests().end()) throw Problem{"test '" + name + "' is not supported"};
  return row->second(value, arguments);
}

Item call_method(const std::string& name, const Item& value, const Arguments& arguments) {
  if (value.undefined) throw Problem{"'." + name + "()' of an undefined value"};
  if (value.value.is_string())
    return string_method(name, value.value.get<std::string>(), arguments);
  if (value.value.is_object()) {
    if (name == "items") return pairs(value);
    if (name == "keys") return {as_list(value)};
    if (name == "values") {
      Value list = Value::array();
      for (const auto& [key, item] : value.value.items()) list.push_back(item);
      return {list};
    }
    if (name == "get") {
      const auto key = string_argument(arguments, 0, "key", "get");
      if (value.value.contains(key)) return {Value(value.value[key])};
      const Item* otherwise = arguments.get(1, "default");
      return otherwise ? *otherwise : Item{Value()};
    }
  }
  throw Problem{std::string("no method '") + name + "' of " + value.value.type_name()};
}

}  // namespace attar::jinja
