// Task files as rows: JSON (a list, or a map that holds one), JSONL, tables, plain lines.
#include <fmt/format.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/data/document_readers.h"
#include "compress/formats/json.h"
#include "eval/tasks/task.h"

namespace attar::eval {
namespace {

using Json = nlohmann::ordered_json;

/// Keys under which files keep their rows.
constexpr const char* kLists[] = {"examples", "samples", "data", "rows", "questions"};

void add_list(const Json& list, const std::string& path, const std::string& where,
              std::vector<TaskRow>& rows) {
  for (size_t i = 0; i < list.size(); ++i) {
    // The Hugging Face viewer wraps each row: {"row_idx": 0, "row": {…}}.
    const Json& item = list[i].is_object() && list[i].contains("row") ? list[i]["row"] : list[i];
    rows.push_back({item, fmt::format("{}: {}[{}]", path, where, i)});
  }
}

TaskRows from_json(std::string_view text, const std::string& path) {
  TaskRows file;
  const Json json = parse_json<Json>(text, path);
  if (json.is_array()) {
    add_list(json, path, "", file.rows);
    return file;
  }
  for (const char* key : kLists)
    if (json.is_object() && json.contains(key) && json.at(key).is_array()) {
      add_list(json.at(key), path, key, file.rows);
      file.header = json;
      file.header.erase(key);
      return file;
    }
  throw bad_input("the file holds no list of examples", path,
                  fmt::format("a list, or a map with one under {}", fmt::join(kLists, ", ")));
}

/// Calls use(line, "file: line 3") for every line that is not blank.
template <class Use>
void each_line(std::string_view text, const std::string& path, const Use& use) {
  int64_t number = 1;
  for (size_t at = 0; at < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos)
      use(line, fmt::format("{}: line {}", path, number));
    at = end + 1;
  }
}

TaskRows from_jsonl(std::string_view text, const std::string& path) {
  TaskRows file;
  each_line(text, path, [&](std::string_view line, const std::string& where) {
    file.rows.push_back({parse_json<Json>(line, where), where});
  });
  return file;
}

TaskRows from_lines(std::string_view text, const std::string& path) {
  TaskRows file;
  each_line(text, path, [&](std::string_view line, const std::string& where) {
    file.rows.push_back({{{"text", std::string(line)}}, where});
  });
  return file;
}

bool is_letter(const std::string& text) {
  return text.size() == 1 && text[0] >= 'A' && text[0] <= 'D';
}

/// MMLU's own files have no header: question, four answers, letter.
Json published_row(const std::vector<std::string>& fields) {
  if (fields.size() != 6 || !is_letter(fields[5])) return {};
  return {{"question", fields[0]},
          {"choices", {fields[1], fields[2], fields[3], fields[4]}},
          {"answer", fields[5]}};
}

TaskRows from_table(std::string_view text, bool csv, const std::string& path) {
  TaskRows file;
  std::vector<std::string> names;
  bool published = false;
  read_table(text, csv, path, [&](const std::vector<std::string>& fields, int64_t line) {
    const std::string where = fmt::format("{}: line {}", path, line);
    if (names.empty()) {
      names = fields;
      published = published_row(fields).is_object();
      if (!published) return;
    }
    Json row = Json::object();
    if (published) {
      row = published_row(fields);
      if (!row.is_object())
        throw bad_input("a question, four answers and a letter from A to D are expected", where);
    } else {
      for (size_t i = 0; i < fields.size(); ++i) row[names[i]] = fields[i];
    }
    file.rows.push_back({std::move(row), where});
  });
  return file;
}

/// "json" for a .json file, which data entries do not know; else as data entries have it.
std::string format_of(const DataSpec& data) {
  if (data.format == "json") return "json";
  if (data.format.empty() && data.path.extension() == ".json") return "json";
  return data_format(data);
}

}  // namespace

TaskRows read_task_rows(const DataSpec& data) {
  const std::string path = data.path.string();
  const MappedFile mapped = MappedFile::open(data.path);
  require_utf8(mapped.text(), path);
  const std::string format = format_of(data);
  TaskRows file;
  if (format == "json")
    file = from_json(mapped.text(), path);
  else if (format == "jsonl")
    file = from_jsonl(mapped.text(), path);
  else if (format == "csv" || format == "tsv")
    file = from_table(mapped.text(), format == "csv", path);
  else if (format == "text")
    file = from_lines(mapped.text(), path);
  else
    throw bad_input("a task can't be read from " + format, path,
                    "tasks are JSON, JSONL, CSV, TSV, or text with a passage a line");
  if (file.rows.empty()) throw bad_input("the task has no examples", path);
  for (const auto& row : file.rows)
    if (!row.json.is_object()) throw bad_input("an example has to be a JSON object {…}", row.where);
  return file;
}

}  // namespace attar::eval
