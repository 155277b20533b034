// Ready-made prompts with their continuations: {prompt, options, label}. Other names for the fields
// are known too; nothing is added to the texts but a space where neither side has one.
#include <array>

#include "eval/tasks/fields.h"
#include "eval/tasks/shapes.h"

namespace attar::eval {
namespace {

constexpr std::array kPrompts = {"prompt", "query", "context", "input"};
constexpr std::array kOptions = {"options", "choices", "continuations"};
constexpr std::array kLabels = {"label", "gold", "answer", "input_label"};

template <size_t N>
const char* present(const nlohmann::ordered_json& row, const std::array<const char*, N>& names) {
  for (const char* name : names)
    if (row.contains(name)) return name;
  return nullptr;
}

bool fits(const nlohmann::ordered_json& row) {
  return present(row, kPrompts) && present(row, kOptions) && present(row, kLabels);
}

/// The name a row has for something, or the first one, whose absence the reader then reports.
template <size_t N>
const char* name_in(const TaskRow& row, const std::array<const char*, N>& names) {
  const char* name = present(row.json, names);
  return name ? name : names[0];
}

Example read(const TaskRow& row, const LoadedTask&) {
  auto options = texts_field(row, name_in(row, kOptions));
  std::string prompt = text_field(row, name_in(row, kPrompts));
  const size_t label = label_field(row, name_in(row, kLabels), options.size());
  const bool spaced =
      prompt.empty() || std::string(" \n\t").find(prompt.back()) != std::string::npos;
  if (!spaced && options[0][0] != ' ') prompt += ' ';
  return choices_example(row, std::move(prompt), std::move(options), label);
}

void begin(const nlohmann::ordered_json&, LoadedTask& task) {
  task.delimiter = "";
}

}  // namespace

TaskShape options_shape() {
  return {"options",
          "prompt, options, label: ready-made prompts and their continuations",
          TaskKind::choices,
          fits,
          begin,
          read};
}

}  // namespace attar::eval
