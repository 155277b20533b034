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

/// The value of `field` in every line, which is a JSON object; empty lines go.
std::vector<std::string> read_jsonl(const fs::path& file, const std::string& field);

/// Calls record(fields, line) for every record, the header included. CSV as RFC 4180 (quotes, line
/// breaks in quotes); TSV has no quotes.
void read_table(std::string_view text, bool csv, const std::string& where,
                const std::function<void(const std::vector<std::string>&, int64_t line)>& record);

/// The column `field` of a table whose first record names the columns.
std::vector<std::string> read_column(const fs::path& file, bool csv, const std::string& field);

}  // namespace attar
