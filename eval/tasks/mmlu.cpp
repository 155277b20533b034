// MMLU (Hendrycks et al., Measuring Massive Multitask Language Understanding, 2021): the model is
// shown four answers and names a letter. Rows as the Hugging Face data set has them (question,
// choices, answer, subject), or the published CSV without a header (question, four answers,
// letter).
#include <algorithm>

#include "eval/tasks/fields.h"
#include "eval/tasks/shapes.h"

namespace attar::eval {
namespace {

bool fits(const nlohmann::ordered_json& row) {
  return has_fields(row, {"question", "choices", "answer"}) && row.at("choices").is_array();
}

Example read(const TaskRow& row, const LoadedTask&) {
  const auto texts = texts_field(row, "choices");
  std::string question = text_field(row, "question");
  question.erase(0, std::min(question.find_first_not_of(" \t\n\r"), question.size()));
  question.erase(question.find_last_not_of(" \t\n\r") + 1);
  std::string prompt;
  std::string subject = row.json.contains("subject") ? text_field(row, "subject") : std::string();
  const std::string group = subject;
  std::replace(subject.begin(), subject.end(), '_', ' ');
  std::vector<std::string> letters;
  for (size_t i = 0; i < texts.size(); ++i) letters.emplace_back(1, static_cast<char>('A' + i));
  prompt = question;
  for (size_t i = 0; i < texts.size(); ++i) prompt += "\n" + letters[i] + ". " + texts[i];
  auto example =
      choices_example(row, prompt + "\nAnswer:", letters, label_field(row, "answer", texts.size()));
  example.group = group;
  example.description = "The following are multiple choice questions (with answers)" +
                        (subject.empty() ? std::string() : " about " + subject) + ".\n\n";
  return example;
}

}  // namespace

TaskShape mmlu_shape() {
  return {"mmlu", "question, choices, answer, subject (MMLU)", TaskKind::choices, fits, nullptr,
          read};
}

}  // namespace attar::eval
