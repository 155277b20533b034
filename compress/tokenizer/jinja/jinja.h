// The part of the Jinja template language that published chat templates use: expressions with
// Python's meaning, if / for / set / macro, filters, tests, whitespace control. What is not
// implemented is an error when the template is parsed or reached, never different text.
//
// Non-goals: includes, inheritance, autoescaping, extensions beyond break / continue / generation.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace attar::jinja {

using Value = nlohmann::ordered_json;

struct Block;  // syntax tree

class Template {
 public:
  /// `name` is for messages. Blocks are trimmed as Hugging Face does it (trim_blocks,
  /// lstrip_blocks). Throws bad_input with the line.
  static Template parse(std::string_view source, const std::string& name);

  /// `variables` is an object. raise_exception(…) and undefined operations become bad_input errors.
  std::string render(const Value& variables) const;

 private:
  std::string name_;
  std::shared_ptr<const Block> root_;
};

}  // namespace attar::jinja
