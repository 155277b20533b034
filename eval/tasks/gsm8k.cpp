// GSM8K (Cobbe et al., Training Verifiers to Solve Math Word Problems, 2021): the number behind
// "####" at the end of a written solution.
#include "compress/base/error.h"
#include "eval/tasks/fields.h"
#include "eval/tasks/shapes.h"

namespace attar::eval {
namespace {

bool fits(const nlohmann::ordered_json& row) {
  return has_fields(row, {"question", "answer"}) && row.at("answer").is_string() &&
         row.at("answer").get_ref<const std::string&>().find("####") != std::string::npos;
}

void begin(const nlohmann::ordered_json&, LoadedTask& task) {
  task.stops = {"Question:", "</s>", "<|im_end|>"};
  task.longest_answer = 256;
}

Example read(const TaskRow& row, const LoadedTask&) {
  const std::string answer = text_field(row, "answer");
  const size_t mark = answer.rfind("#### ");
  if (mark == std::string::npos || mark + 5 >= answer.size())
    throw bad_input("the answer names no result behind \"#### \"", row.where);
  return choices_example(row, "Question: " + text_field(row, "question") + "\nAnswer:", {answer},
                         0);
}

}  // namespace

TaskShape gsm8k_shape() {
  return {"gsm8k",
          "question, answer ending in \"#### result\" (GSM8K)",
          TaskKind::exact_match,
          fits,
          begin,
          read};
}

}  // namespace attar::eval
