#include "compress/data/document_readers.h"

#include <fmt/core.h>

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/formats/json.h"
#include "compress/tokenizer/unicode.h"

namespace attar {
namespace {

std::string line_of(const std::string& where, int64_t line) {
  return fmt::format("{}:{}", where, line);
}

/// Calls use(line without its end, number).
template <class Use>
void each_line(std::string_view text, Use&& use) {
  int64_t number = 1;
  for (size_t at = 0; at < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    use(line, number);
    at = end + 1;
  }
}

bool blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

/// One record of a table after the other.
class TableReader {
 public:
  TableReader(std::string_view text, bool csv, const std::string& where)
      : text_(text), separator_(csv ? ',' : '\t'), quotes_(csv), where_(where) {}

  bool next(std::vector<std::string>& fields, int64_t& line) {
    fields.clear();
    line = line_;
    if (at_ >= text_.size()) return false;
    do fields.push_back(field());
    while (take(separator_));
    take('\r');
    if (at_ < text_.size() && !take('\n'))
      throw bad_input("text stands behind a closing quote", line_of(where_, line_));
    ++line_;
    return true;
  }

 private:
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string field() {
    if (quotes_ && take('"')) return quoted();
    const char ends[] = {separator_, '\n', '\0'};
    size_t end = std::min(text_.find_first_of(ends, at_), text_.size());
    std::string_view value = text_.substr(at_, end - at_);
    at_ = end;
    if (value.ends_with('\r') && (end == text_.size() || text_[end] == '\n'))
      value.remove_suffix(1);
    return std::string(value);
  }

  std::string quoted() {
    const int64_t begin = line_;
    std::string value;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        if (at_ >= text_.size() || text_[at_] != '"') return value;
      }
      line_ += c == '\n';
      value += c;
    }
    throw bad_input("a quote is never closed", line_of(where_, begin));
  }

  std::string_view text_;
  char separator_;
  bool quotes_;
  const std::string& where_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

void require_utf8(std::string_view text, const std::string& where) {
  if (const auto bad = find_invalid_utf8(text))
    throw bad_input("the text is not valid UTF-8", fmt::format("{}: byte {}", where, *bad),
                    "convert it (iconv -t UTF-8), or leave the file out with include");
}

std::vector<std::string> split_documents(std::string_view text, const std::string& separator) {
  if (separator.empty()) return {std::string(text)};
  std::vector<std::string> documents;
  size_t begin = 0;
  const auto add = [&](size_t end) {
    std::string_view document = text.substr(begin, end - begin);
    if (document.ends_with('\n')) document.remove_suffix(1);
    if (!blank(document)) documents.emplace_back(document);
  };
  each_line(text, [&](std::string_view line, int64_t) {
    if (line != separator) return;
    const auto at = static_cast<size_t>(line.data() - text.data());
    add(at);
    begin = std::min(text.find('\n', at), text.size() - 1) + 1;
  });
  add(text.size());
  return documents;
}

void read_table(std::string_view text, bool csv, const std::string& where,
                const std::function<void(const std::vector<std::string>&, int64_t)>& record) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // byte order mark
  TableReader reader(text, csv, where);
  std::vector<std::string> fields;
  size_t columns = 0;
  for (int64_t line = 0; reader.next(fields, line);) {
    if (columns == 0) columns = fields.size();
    if (fields.size() == 1 && fields[0].empty() && columns > 1) continue;  // an empty line
    if (fields.size() != columns)
      throw bad_input(fmt::format("{} columns, where the header has {}", fields.size(), columns),
                      line_of(where, line));
    record(fields, line);
  }
}

namespace {

std::string value_of(const nlohmann::json& value, const FieldName& field,
                     const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() && field.numbers) return value.dump();
  throw bad_input(fmt::format("the field \"{}\" is not a text", field.name), where);
}

using RowSink = std::function<void(std::vector<std::string>&, int64_t)>;

void read_objects(std::string_view text, const std::string& file,
                  const std::vector<FieldName>& fields, const RowSink& row) {
  std::vector<std::string> values(fields.size());
  each_line(text, [&](std::string_view line, int64_t number) {
    if (blank(line)) return;
    const std::string where = line_of(file, number);
    const auto object = parse_json<nlohmann::json>(line, where);
    if (!object.is_object()) throw bad_input("each line has to be a JSON object {…}", where);
    for (size_t i = 0; i < fields.size(); ++i) {
      const auto found = object.find(fields[i].name);
      values[i].clear();
      if (found != object.end()) {
        values[i] = value_of(*found, fields[i], where);
      } else if (fields[i].required) {
        std::vector<std::string> keys;
        for (const auto& [key, value] : object.items()) keys.push_back(key);
        throw bad_input(fmt::format("the field \"{}\" is missing", fields[i].name), where,
                        suggest(fields[i].name, keys));
      }
    }
    row(values, number);
  });
}

void read_records(std::string_view text, bool csv, const std::string& file,
                  const std::vector<FieldName>& fields, const RowSink& row) {
  std::vector<size_t> columns;  // of the fields; past the end: absent
  std::vector<std::string> values(fields.size());
  read_table(text, csv, file, [&](const auto& cells, int64_t line) {
    if (!columns.empty()) {
      for (size_t i = 0; i < fields.size(); ++i)
        values[i] = columns[i] < cells.size() ? cells[columns[i]] : std::string();
      return row(values, line);
    }
    for (const FieldName& field : fields) {
      const auto found = std::find(cells.begin(), cells.end(), field.name);
      if (found == cells.end() && field.required)
        throw bad_input(fmt::format("there is no column \"{}\"", field.name), line_of(file, line),
                        suggest(field.name, cells));
      columns.push_back(static_cast<size_t>(found - cells.begin()));
    }
  });
}

}  // namespace

void read_fields(const fs::path& file, const std::string& format,
                 const std::vector<FieldName>& fields, const RowSink& row) {
  const MappedFile mapped = MappedFile::open(file);
  require_utf8(mapped.text(), file.string());
  if (format == "jsonl") return read_objects(mapped.text(), file.string(), fields, row);
  read_records(mapped.text(), format == "csv", file.string(), fields, row);
}

}  // namespace attar
