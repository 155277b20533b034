#include <fmt/core.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/formats/json.h"
#include "compress/tokenizer/definition.h"
#include "compress/tokenizer/json_cursor.h"
#include "compress/tokenizer/unicode.h"

namespace attar {

/// In two parts: its large lists are read from the text, the rest is a tree with null in their
/// places.
TokenizerDefinition define_by_tokenizer_json(const fs::path& file) {
  TokenizerDefinition definition;
  definition.where = file.string();
  definition.directory = file.has_parent_path() ? file.parent_path() : ".";
  definition.file = MappedFile::open(file);
  const std::string_view text = definition.file->text();
  if (const auto bad = find_invalid_utf8(text))
    throw bad_input(fmt::format("not valid UTF-8 at byte {}", *bad), definition.where);
  std::string rest;
  size_t copied = 0;
  JsonCursor cursor(text, definition.where);
  const auto cut_out = [&](size_t& begin) {
    cursor.peek();
    begin = cursor.position();
    cursor.skip();
    const std::string_view value = text.substr(begin, cursor.position() - begin);
    rest.append(text.substr(copied, begin - copied)).append("null");
    rest.append(static_cast<size_t>(std::count(value.begin(), value.end(), '\n')), '\n');
    copied = cursor.position();
  };
  cursor.object([&](std::string_view key) {
    if (key != "model") return cursor.skip();
    cursor.object([&](std::string_view inner) {
      if (inner == "vocab") return cut_out(definition.vocabulary);
      if (inner == "merges") return cut_out(definition.merges);
      cursor.skip();
    });
  });
  rest.append(text.substr(copied));
  definition.components = parse_json<nlohmann::json>(rest, definition.where);
  if (!definition.vocabulary)
    throw bad_input("the key \"model.vocab\" is missing", definition.where);
  return definition;
}

}  // namespace attar
