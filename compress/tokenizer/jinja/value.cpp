#include "compress/tokenizer/jinja/value.h"

#include <algorithm>
#include <cmath>

namespace attar::jinja {
namespace {

std::string quoted(const std::string& text) {  // Python's repr of a string
  const char quote =
      text.find('\'') != std::string::npos && text.find('"') == std::string::npos ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\\' || c == quote)
      (out += '\\') += c;
    else
      out += c;
  }
  return out + quote;
}

std::string number_text(double value) {
  if (value == std::floor(value) && std::fabs(value) < 1e16)
    return std::to_string(static_cast<int64_t>(value)) + ".0";
  return Value(value).dump();  // shortest text that reads back equal, as Python prints
}

std::string repr(const Value& value) {
  if (value.is_null()) return "None";
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_string()) return quoted(value.get<std::string>());
  if (value.is_number_float()) return number_text(value.get<double>());
  if (value.is_number()) return value.dump();
  std::string out;
  if (value.is_array()) {
    for (const auto& item : value) out += (out.empty() ? "" : ", ") + repr(item);
    return "[" + out + "]";
  }
  for (const auto& [key, item] : value.items())
    out += (out.empty() ? "" : ", ") + quoted(key) + ": " + repr(item);
  return "{" + out + "}";
}

/// Start of every UTF-8 character, and the end.
std::vector<size_t> character_starts(const std::string& text) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) starts.push_back(i);
  starts.push_back(text.size());
  return starts;
}

bool equal(const Item& a, const Item& b) {
  if (a.undefined || b.undefined) return a.undefined && b.undefined;
  if (a.value.is_boolean() && b.value.is_number()) return (a.value.get<bool>() ? 1 : 0) == b.value;
  if (b.value.is_boolean() && a.value.is_number()) return equal(b, a);
  return a.value == b.value;
}

Item number_result(double value, bool integral) {
  if (integral) return {static_cast<int64_t>(value)};
  return {value};
}

Item arithmetic(const std::string& op, const Value& a, const Value& b) {
  const bool integers = !a.is_number_float() && !b.is_number_float();
  const double x = a.get<double>(), y = b.get<double>();
  if (integers && op != "/") {
    const auto i = a.get<int64_t>(), j = b.get<int64_t>();
    int64_t result = 0;
    if (op == "+" && !__builtin_add_overflow(i, j, &result)) return {result};
    if (op == "-" && !__builtin_sub_overflow(i, j, &result)) return {result};
    if (op == "*" && !__builtin_mul_overflow(i, j, &result)) return {result};
    if (op == "+" || op == "-" || op == "*") throw Problem{"integer overflow"};
  }
  if (op == "+") return {x + y};
  if (op == "-") return {x - y};
  if (op == "*") return {x * y};
  if (y == 0) throw Problem{"division by zero"};
  if (op == "/") return {x / y};
  const double quotient = std::floor(x / y);
  return number_result(op == "//" ? quotient : x - quotient * y, integers);
}

bool contains(const Item& container, const Item& item) {
  if (container.undefined) throw Problem{"'in' needs a defined container"};
  const Value& c = container.value;
  if (c.is_string()) {
    if (item.undefined || !item.value.is_string()) throw Problem{"'in' a string needs a string"};
    return c.get_ref<const std::string&>().find(item.value.get_ref<const std::string&>()) !=
           std::string::npos;
  }
  if (c.is_object())
    return !item.undefined && item.value.is_string() && c.contains(item.value.get<std::string>());
  if (!c.is_array()) throw Problem{"'in' needs a list, a map or a string"};
  return std::any_of(c.begin(), c.end(), [&](const Value& v) { return equal({v}, item); });
}

bool ordered(const std::string& op, const Value& a, const Value& b) {
  const bool comparable = (a.is_number() && b.is_number()) || (a.is_string() && b.is_string());
  if (!comparable) throw Problem{"'" + op + "' compares two numbers or two strings"};
  if (op == "<") return a < b;
  if (op == ">") return b < a;
  return op == "<=" ? !(b < a) : !(a < b);
}

}  // namespace

bool truthy(const Item& item) {
  if (item.undefined) return false;
  const Value& v = item.value;
  if (v.is_null()) return false;
  if (v.is_boolean()) return v.get<bool>();
  if (v.is_number()) return v.get<double>() != 0;
  if (v.is_string()) return !v.get_ref<const std::string&>().empty();
  return !v.empty();
}

std::string to_text(const Item& item) {
  if (item.undefined) return "";
  return item.value.is_string() ? item.value.get<std::string>() : repr(item.value);
}

std::string to_json_text(const Value& value, std::optional<int> indent) {
  if (indent) return value.dump(*indent, ' ', false, Value::error_handler_t::replace);
  std::string out;
  if (value.is_array()) {
    for (const auto& item : value) out += (out.empty() ? "" : ", ") + to_json_text(item, indent);
    return "[" + out + "]";
  }
  if (value.is_object()) {
    for (const auto& [key, item] : value.items())
      out += (out.empty() ? "" : ", ") +
             Value(key).dump(-1, ' ', false, Value::error_handler_t::replace) + ": " +
             to_json_text(item, indent);
    return "{" + out + "}";
  }
  if (value.is_number_float()) return number_text(value.get<double>());
  return value.dump(-1, ' ', false, Value::error_handler_t::replace);
}

Item binary_operation(const std::string& op, const Item& left, const Item& right) {
  if (op == "==") return {equal(left, right)};
  if (op == "!=") return {!equal(left, right)};
  if (op == "~") return {to_text(left) + to_text(right)};
  if (op == "in") return {contains(right, left)};
  if (op == "not in") return {!contains(right, left)};
  if (left.undefined || right.undefined) throw Problem{"'" + op + "' on an undefined value"};
  const Value &a = left.value, &b = right.value;
  if (op == "<" || op == ">" || op == "<=" || op == ">=") return {ordered(op, a, b)};
  if (a.is_number() && b.is_number()) return arithmetic(op, a, b);
  if (op == "+" && a.is_string() && b.is_string())
    return {a.get<std::string>() + b.get<std::string>()};
  if (op == "+" && a.is_array() && b.is_array()) {
    Value sum = a;
    sum.insert(sum.end(), b.begin(), b.end());
    return {sum};
  }
  if (op == "*" && a.is_string() && b.is_number_integer()) {
    const auto times = std::max<int64_t>(0, b.get<int64_t>());
    const auto& text = a.get_ref<const std::string&>();
    if (times * std::ssize(text) > (1 << 24)) throw Problem{"repeated text is too long"};
    std::string repeated;
    for (int64_t i = 0; i < times; ++i) repeated += text;
    return {repeated};
  }
  throw Problem{"'" + op + "' does not combine " + a.type_name() + " and " + b.type_name()};
}

Item slice(const Value& of, const std::optional<int64_t>& from, const std::optional<int64_t>& to,
           int64_t step) {
  if (!of.is_array() && !of.is_string()) throw Problem{"only lists and strings can be sliced"};
  if (step == 0) throw Problem{"a slice's step is not 0"};
  const auto list = items_of({of});
  const auto n = std::ssize(list);
  const int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? n : n - 1;
  const auto place = [&](const std::optional<int64_t>& index, int64_t otherwise) {
    if (!index) return otherwise;
    return std::clamp(*index < 0 ? *index + n : *index, lowest, highest);
  };
  const int64_t first = place(from, step > 0 ? 0 : n - 1), last = place(to, step > 0 ? n : -1);
  Value picked = Value::array();
  for (int64_t i = first; step > 0 ? i < last : i > last; i += step)
    picked.push_back(list[static_cast<size_t>(i)]);
  if (of.is_array()) return {picked};
  std::string text;
  for (const auto& character : picked) text += character.get_ref<const std::string&>();
  return {text};
}

std::vector<Value> items_of(const Item& item) {
  std::vector<Value> list;
  if (item.undefined) return list;
  const Value& v = item.value;
  if (v.is_array()) return {v.begin(), v.end()};
  if (v.is_object()) {
    for (const auto& [key, unused] : v.items()) list.emplace_back(key);
    return list;
  }
  if (!v.is_string()) throw Problem{std::string("cannot go through ") + v.type_name()};
  const auto& text = v.get_ref<const std::string&>();
  const auto starts = character_starts(text);
  for (size_t i = 0; i + 1 < starts.size(); ++i)
    list.emplace_back(text.substr(starts[i], starts[i + 1] - starts[i]));
  return list;
}

int64_t length_of(const Item& item) {
  if (item.undefined) return 0;
  if (item.value.is_string())
    return std::ssize(character_starts(item.value.get_ref<const std::string&>())) - 1;
  if (item.value.is_array() || item.value.is_object()) return std::ssize(item.value);
  throw Problem{std::string("no length of ") + item.value.type_name()};
}

const Item* Arguments::get(size_t i, const char* name) const {
  if (i < positional.size()) return &positional[i];
  for (const auto& [key, item] : named)
    if (key == name) return &item;
  return nullptr;
}

}  // namespace attar::jinja
