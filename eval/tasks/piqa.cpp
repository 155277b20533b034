// PIQA (Bisk et al., Reasoning about Physical Commonsense, 2020): which of two ways reaches a goal.
#include "eval/tasks/fields.h"
#include "eval/tasks/shapes.h"

namespace attar::eval {
namespace {

bool fits(const nlohmann::ordered_json& row) {
  return has_fields(row, {"goal", "sol1", "sol2", "label"});
}

Example read(const TaskRow& row, const LoadedTask&) {
  return choices_example(row, "Question: " + text_field(row, "goal") + "\nAnswer:",
                         {text_field(row, "sol1"), text_field(row, "sol2")},
                         label_field(row, "label", 2));
}

}  // namespace

TaskShape piqa_shape() {
  return {"piqa", "goal, sol1, sol2, label (PIQA)", TaskKind::choices, fits, nullptr, read};
}

}  // namespace attar::eval
