// Options structs: each lists its fields once; parsing, defaults, range checks, error messages,
// `attar list`, the JSON Schema, the manifest and the cache key all come from that list.
//
//   struct PruneOptions {
//     std::string method = "width";
//     int64_t layers = 0;
//     template <class Visitor> void fields(Visitor& v) {
//       v("method", method, "what to cut", one_of("width", "depth"));
//       v("layers", layers, "how many layers stay (depth)", at_least(1));
//     }
//   };
//
// A field is a string, bool, int64_t, double, a std::optional or std::vector of one of these, or
// another options struct. What no field names is an error.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "compress/recipe/node.h"

namespace attar {

/// What a value may be; checked at parse, shown in documentation.
struct Constraint {
  std::vector<std::string> choices;  // for strings; empty = any
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;  // the bound itself is excluded
  bool required = false;
};

template <class... Names>
Constraint one_of(Names... names) {
  Constraint c;
  c.choices = {names...};
  return c;
}
inline Constraint between(double low, double high) {
  Constraint c;
  c.low = low;
  c.high = high;
  return c;
}
inline Constraint at_least(double low) {
  Constraint c;
  c.low = low;
  return c;
}
inline Constraint above(double low, double high = std::numeric_limits<double>::infinity()) {
  Constraint c = between(low, high);
  c.low_open = true;
  return c;
}
inline Constraint required(Constraint c = {}) {
  c.required = true;
  return c;
}

/// A field's documentation row.
struct FieldInfo {
  std::string name, type, default_value, range, help;
  Constraint constraint;
  std::vector<FieldInfo> fields;  // of a nested options struct
};

namespace detail {

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};

/// Scalar and list reads with their checks; implemented in options.cpp.
void read_field(const Node& node, const Constraint& c, std::string& value, Problems& problems);
void read_field(const Node& node, const Constraint& c, bool& value, Problems& problems);
void read_field(const Node& node, const Constraint& c, int64_t& value, Problems& problems);
void read_field(const Node& node, const Constraint& c, double& value, Problems& problems);
std::string type_name(const std::string*);
std::string type_name(const bool*);
std::string type_name(const int64_t*);
std::string type_name(const double*);
std::string range_text(const Constraint& c);

class Parser {
 public:
  Parser(const Node& node, Problems& problems) : node_(node), problems_(problems) {}

  template <class T>
  void operator()(const char* name, T& value, const char*, const Constraint& c = {}) {
    known_.push_back(name);
    const Node child = node_[name];
    if (!child.defined()) {
      if (c.required) problems_.add("missing key '" + std::string(name) + "'", node_.where());
      return;
    }
    read(child, c, value);
  }
  const std::vector<std::string>& known() const { return known_; }

 private:
  template <class T>
  void read(const Node& child, const Constraint& c, T& value) {
    if constexpr (is_optional<T>::value) {
      read(child, c, value.emplace());
    } else if constexpr (is_vector<T>::value) {
      value.clear();
      if (!child.is_list())
        return read(child, c, value.emplace_back());  // one item needs no brackets
      for (size_t i = 0; i < child.size(); ++i) read(child.at(i), c, value.emplace_back());
    } else if constexpr (requires(T & t, Parser & p) { t.fields(p); }) {
      if (!child.is_map())
        return problems_.add("'" + child.path() + "' must be a map of options", child.where());
      Parser nested(child, problems_);
      value.fields(nested);
      child.reject_unknown(nested.known(), problems_);
    } else {
      read_field(child, c, value, problems_);
    }
  }

  Node node_;
  Problems& problems_;
  std::vector<std::string> known_;
};

class Dumper {
 public:
  template <class T>
  void operator()(const char* name, T& value, const char*, const Constraint& = {}) {
    json[name] = dump(value);
  }
  nlohmann::ordered_json json = nlohmann::ordered_json::object();

 private:
  template <class T>
  static nlohmann::ordered_json dump(T& value) {
    if constexpr (is_optional<T>::value) {
      return value ? dump(*value) : nlohmann::ordered_json(nullptr);
    } else if constexpr (is_vector<T>::value) {
      auto list = nlohmann::ordered_json::array();
      for (auto& item : value) list.push_back(dump(item));
      return list;
    } else if constexpr (requires(T & t, Dumper & d) { t.fields(d); }) {
      Dumper nested;
      value.fields(nested);
      return nested.json;
    } else {
      return value;
    }
  }
};

class Describer {
 public:
  template <class T>
  void operator()(const char* name, T& value, const char* help, const Constraint& c = {}) {
    FieldInfo info{name, {}, {}, range_text(c), help, c, {}};
    describe(value, info);
    rows.push_back(std::move(info));
  }
  std::vector<FieldInfo> rows;

 private:
  template <class T>
  static void describe(T& value, FieldInfo& info) {
    if constexpr (is_optional<T>::value || is_vector<T>::value) {
      typename T::value_type item{};
      describe(item, info);
      if constexpr (is_vector<T>::value) info.type = "list of " + info.type;
      Dumper d;
      d("v", value, "");
      info.default_value = is_optional<T>::value && d.json["v"].is_null() ? "" : d.json["v"].dump();
    } else if constexpr (requires(T & t, Describer & d) { t.fields(d); }) {
      Describer nested;
      value.fields(nested);
      info.type = "map";
      info.fields = std::move(nested.rows);
    } else {
      info.type = type_name(&value);
      info.default_value = info.constraint.required ? "" : nlohmann::json(value).dump();
    }
  }
};

}  // namespace detail

/// Fills an options struct from a map; `ignored` are keys that belong to someone else (name, type,
/// from …). Mistakes go to `problems`.
template <class Options>
Options parse_options(const Node& node, Problems& problems,
                      const std::vector<std::string>& ignored = {}) {
  Options options;
  detail::Parser parser(node, problems);
  options.fields(parser);
  std::vector<std::string> known = parser.known();
  known.insert(known.end(), ignored.begin(), ignored.end());
  node.reject_unknown(known, problems);
  return options;
}

/// Every field with its resolved value, in declaration order.
template <class Options>
nlohmann::ordered_json dump_options(Options options) {
  detail::Dumper dumper;
  options.fields(dumper);
  return dumper.json;
}

/// Every field with type, default, range and help.
template <class Options>
std::vector<FieldInfo> describe_options() {
  Options options;
  detail::Describer describer;
  options.fields(describer);
  return describer.rows;
}

}  // namespace attar
