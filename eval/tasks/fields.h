// Reading the fields of a task's row, with messages that name the row.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "eval/tasks/task.h"

namespace attar::eval {

/// bad_input when the row has none of that name: the first row's fields chose the shape, later rows
/// may lack them.
const nlohmann::ordered_json& field(const TaskRow& row, std::string_view name);
/// A text; bad_input when the field is missing or none.
std::string text_field(const TaskRow& row, std::string_view name);
/// A list of at least two texts, none empty.
std::vector<std::string> texts_field(const TaskRow& row, std::string_view name);
/// Which of `count` choices is right: an index (a number or its digits), or a letter from A on.
/// bad_input when it is none of them.
size_t label_field(const TaskRow& row, std::string_view name, size_t count);
bool has_fields(const nlohmann::ordered_json& row, std::initializer_list<std::string_view> names);

/// An example whose right choice is `label`.
Example choices_example(const TaskRow& row, std::string prompt, std::vector<std::string> choices,
                        size_t label);

}  // namespace attar::eval
