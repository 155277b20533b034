// ARC (Clark et al., Think you have Solved Question Answering?, 2018): science questions. Rows as
// the Hugging Face data set has them (question, choices.text, choices.label, answerKey), or as
// published (question.stem, question.choices[].text).
#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "eval/tasks/fields.h"
#include "eval/tasks/shapes.h"

namespace attar::eval {
namespace {

using Json = nlohmann::ordered_json;

bool fits(const Json& row) {
  if (!has_fields(row, {"question", "answerKey"})) return false;
  const Json& holder = row.at("question").is_object() ? row.at("question") : row;
  return holder.contains("choices");
}

/// choices: {text: [...], label: [...]} and [{text, label}, …] alike, as {text, label} lists.
TaskRow choices_of(const TaskRow& row) {
  const Json& question = field(row, "question");
  const TaskRow holder = question.is_object() ? TaskRow{question, row.where} : row;
  const Json& choices = field(holder, "choices");
  if (choices.is_object()) return {choices, row.where};
  Json lists = {{"text", Json::array()}, {"label", Json::array()}};
  for (const auto& choice : choices)
    for (const char* key : {"text", "label"})
      lists[key].push_back(choice.is_object() ? choice.value(key, Json()) : Json());
  return {lists, row.where};
}

Example read(const TaskRow& row, const LoadedTask&) {
  const Json& question = field(row, "question");
  const std::string stem = question.is_object() ? text_field({question, row.where}, "stem")
                                                : text_field(row, "question");
  const TaskRow choices = choices_of(row);
  auto texts = texts_field(choices, "text");
  const auto labels = texts_field(choices, "label");
  const std::string key = text_field(row, "answerKey");
  const auto found = std::find(labels.begin(), labels.end(), key);
  if (found == labels.end() || labels.size() != texts.size())
    throw bad_input(fmt::format("answerKey is \"{}\", which is none of the {} choices' labels", key,
                                texts.size()),
                    row.where);
  return choices_example(row, "Question: " + stem + "\nAnswer:", std::move(texts),
                         static_cast<size_t>(found - labels.begin()));
}

}  // namespace

TaskShape arc_shape() {
  return {
      "arc", "question, choices {text, label}, answerKey (ARC)", TaskKind::choices, fits, nullptr,
      read};
}

}  // namespace attar::eval
