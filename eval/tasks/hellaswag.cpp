// HellaSwag (Zellers et al., 2019): which ending follows. Texts from WikiHow carry marks in
// brackets, which go, as in lm-evaluation-harness.
#include "eval/tasks/fields.h"
#include "eval/tasks/shapes.h"

namespace attar::eval {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

std::string stripped(const std::string& text) {
  const char* spaces = " \t\n\r\f\v";
  const size_t begin = text.find_first_not_of(spaces);
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(spaces) + 1 - begin);
}

std::string cleaned(const std::string& raw) {
  std::string text = stripped(raw);
  replace_all(text, " [title]", ". ");
  for (size_t open = 0; (open = text.find('[', open)) != std::string::npos;) {
    const size_t close = text.find(']', open);
    const size_t line = text.find('\n', open);  // a mark stays within its line
    if (close == std::string::npos || line < close)
      ++open;
    else
      text.erase(open, close + 1 - open);
  }
  replace_all(text, "  ", " ");
  return text;
}

/// The first letter upper case, all others lower case.
std::string capitalized(std::string text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (i == 0 && c >= 'a' && c <= 'z') text[i] = static_cast<char>(c - 'a' + 'A');
    if (i > 0 && c >= 'A' && c <= 'Z') text[i] = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

bool fits(const nlohmann::ordered_json& row) {
  return has_fields(row, {"activity_label", "ctx_a", "ctx_b", "endings", "label"});
}

Example read(const TaskRow& row, const LoadedTask&) {
  const std::string context =
      text_field(row, "ctx_a") + " " + capitalized(text_field(row, "ctx_b"));
  auto endings = texts_field(row, "endings");
  const size_t label = label_field(row, "label", endings.size());
  for (auto& ending : endings) ending = cleaned(ending);
  return choices_example(row, cleaned(text_field(row, "activity_label") + ": " + context),
                         std::move(endings), label);
}

}  // namespace

TaskShape hellaswag_shape() {
  return {"hellaswag",       "activity_label, ctx_a, ctx_b, endings, label (HellaSwag)",
          TaskKind::choices, fits,
          nullptr,           read};
}

}  // namespace attar::eval
