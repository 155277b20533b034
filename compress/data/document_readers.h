// One reader for each text-like format: file in, documents out, mistakes with file and line.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compress/base/files.h"
#include "compress/recipe/recipe.h"

namespace attar {

/// "text", "jsonl", "csv", "tsv" or "ids": what the entry says, else what the path's extension
/// means. bad_input for an unknown format or extension, and for a path that does not exist.
std::string data_format(const DataSpec& data);

/// The file, or the files below the directory that match `include`, sorted by the bytes of their
/// paths.
std::vector<fs::path> data_files(const DataSpec& data);

/// bad_input with the byte offset when `text` is not valid UTF-8.
void require_utf8(std::string_view text, const std::string& where);

/// `text` whole, or parted at the lines that equal `separator` (which go, as do parts without
/// text).
std::vector<std::string> split_documents(std::string_view text, const std::string& separator);

/// A field of rows; when not `required`, it may be absent from the header or from an object, and is
/// the empty text then.
struct FieldName {
  std::string name;
  bool required = true;
  bool numbers = false;  // numbers of JSON objects are taken as they are written
};
/// Calls row(values, line) for every row of a JSONL, CSV or TSV file, with the values of `fields`
/// in their order.
void read_fields(const fs::path& file, const std::string& format,
                 const std::vector<FieldName>& fields,
                 const std::function<void(std::vector<std::string>&, int64_t line)>& row);

/// Calls record(fields, line) for every record, the header included. CSV as RFC 4180 (quotes, line
/// breaks in quotes); TSV has no quotes.
void read_table(std::string_view text, bool csv, const std::string& where,
                const std::function<void(const std::vector<std::string>&, int64_t line)>& record);

}  // namespace attar
