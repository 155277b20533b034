// Tasks: files of questions with known answers, brought into one shape. The rules (prompts,
// delimiters, what counts as right) are those of lm-evaluation-harness and, for its files, of
// BIG-bench. Each shape of file is one file here and one row in table.cpp.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/pipeline/evaluation.h"

namespace attar::eval {

/// How an answer is had and judged.
enum class TaskKind {
  choices,     // the likeliest of some continuations
  last_word,   // one continuation, right when greedy decoding would write it
  exact_match  // free text, from which the answer is extracted
};

struct Example {
  std::string prompt;                // ends where the answer begins
  std::vector<std::string> choices;  // continuations; exact_match: the answer with its reasoning
  std::vector<double> worth;         // of each choice: 1 for the right one
  std::string description;           // stands before everything else, where it differs by example
  std::string group;                 // few-shot examples come from the same group
  std::string where;                 // "file: line 3"

  size_t right() const;  // the choice of the greatest worth
};

struct LoadedTask {
  std::string name, shape, sha256;  // sha256: of the file
  std::string path;
  TaskKind kind = TaskKind::choices;
  std::string description;         // stands before everything else
  std::string delimiter = " ";     // between prompt and answer
  std::string separator = "\n\n";  // between few-shot examples
  std::vector<std::string> stops;  // exact_match: the text ends before any of these
  int64_t longest_answer = 0;      // exact_match: ids
  int64_t shots = 0, of = 0;       // of: examples of the file before sampling
  std::vector<Example> examples;
  nlohmann::ordered_json header;  // what the file's top says besides examples
};

/// A row of a task file, and where it stands.
struct TaskRow {
  nlohmann::ordered_json json;  // an object
  std::string where;
};

/// The rows of a file (JSON, JSONL, CSV, TSV, plain lines) and what its top says besides.
struct TaskRows {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::vector<TaskRow> rows;
};
/// bad_input for a file that is missing, malformed (with the row), or without rows.
TaskRows read_task_rows(const DataSpec& data);

/// A row of the table.
struct TaskShape {
  std::string_view name, summary;
  TaskKind kind;
  bool (*fits)(const nlohmann::ordered_json& row);  // by the fields that a row has
  void (*begin)(const nlohmann::ordered_json& header, LoadedTask& task) = nullptr;  // may be null
  Example (*read)(const TaskRow& row, const LoadedTask& task) = nullptr;
};
std::span<const TaskShape> task_shapes();

/// Reads a task: finds the shape (by name, or by the first row's fields), reads all rows, draws
/// `data.samples` of them and puts `shots` others with their answers before each prompt, all with
/// the seed. Throws bad_input naming file and row.
LoadedTask load_task(const EvaluationTask& request, int64_t shots, uint64_t seed);

}  // namespace attar::eval
