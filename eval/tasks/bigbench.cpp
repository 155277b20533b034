// BIG-bench's JSON tasks with target_scores (Srivastava et al., Beyond the Imitation Game, 2022;
// docs/doc.md of its repository says what the keys mean and their defaults). Choices stand in the
// prompt in the file's order. What the likeliest choice is worth counts, so that partly right ones
// count partly.
#include <fmt/format.h>

#include "compress/base/error.h"
#include "eval/tasks/fields.h"
#include "eval/tasks/shapes.h"

namespace attar::eval {
namespace {

using Json = nlohmann::ordered_json;

bool fits(const Json& row) {
  return has_fields(row, {"input", "target_scores"});
}

std::string text_or(const Json& header, const char* key, const char* otherwise) {
  const auto found = header.find(key);
  return found != header.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

void begin(const Json& header, LoadedTask& task) {
  task.description = text_or(header, "task_prefix", "");
  task.separator = text_or(header, "few_shot_example_separator", "\n");
  task.delimiter = "";
  task.header = header;
}

Example read(const TaskRow& row, const LoadedTask& task) {
  const Json& scores = field(row, "target_scores");
  if (!scores.is_object() || scores.size() < 2)
    throw bad_input("target_scores is not a map of at least two choices", row.where);
  Example example;
  example.where = row.where;
  example.prompt = text_or(task.header, "example_input_prefix", "\nQ: ") + text_field(row, "input");
  const auto append = task.header.find("append_choices_to_input");
  const bool shows = append == task.header.end() || !append->is_boolean() || append->get<bool>();
  for (const auto& [choice, worth] : scores.items()) {
    if (choice.empty() || !worth.is_number())
      throw bad_input(fmt::format("the choice \"{}\" has no number in target_scores", choice),
                      row.where);
    if (shows) example.prompt += text_or(task.header, "choice_prefix", "\n  choice: ") + choice;
    example.choices.push_back(choice);
    example.worth.push_back(worth.get<double>());
  }
  example.prompt += text_or(task.header, "example_output_prefix", "\nA: ");
  return example;
}

}  // namespace

TaskShape bigbench_shape() {
  return {"bigbench",
          "a BIG-bench task: examples with input and target_scores",
          TaskKind::choices,
          fits,
          begin,
          read};
}

}  // namespace attar::eval
