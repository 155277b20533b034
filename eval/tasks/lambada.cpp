// LAMBADA (Paperno et al., The LAMBADA dataset, 2016): the last word of a passage. A passage a
// line, or {text}.
#include "compress/base/error.h"
#include "eval/tasks/fields.h"
#include "eval/tasks/shapes.h"

namespace attar::eval {
namespace {

bool fits(const nlohmann::ordered_json& row) {
  return row.size() == 1 && row.contains("text");
}

Example read(const TaskRow& row, const LoadedTask&) {
  std::string text = text_field(row, "text");
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  const size_t space = text.rfind(' ');
  if (space == std::string::npos || space == 0)
    throw bad_input("a passage needs at least two words", row.where);
  return choices_example(row, text.substr(0, space), {text.substr(space + 1)}, 0);
}

}  // namespace

TaskShape lambada_shape() {
  return {"lambada",
          "passages whose last word is asked for: a line each, or {text} (LAMBADA)",
          TaskKind::last_word,
          fits,
          nullptr,
          read};
}

}  // namespace attar::eval
