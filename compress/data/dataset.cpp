#include "compress/data/dataset.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "compress/base/error.h"
#include "compress/data/document_readers.h"
#include "compress/data/selection.h"

namespace attar {
namespace {

std::vector<std::string> read_text_files(const DataSpec& data) {
  std::vector<std::string> documents;
  const auto files = data_files(data);
  for (const fs::path& file : files) {
    const MappedFile mapped = MappedFile::open(file);
    require_utf8(mapped.text(), file.string());
    for (auto& document : split_documents(mapped.text(), data.split))
      documents.push_back(std::move(document));
  }
  if (!data.split.empty() && documents.size() <= files.size())
    throw bad_input(fmt::format("no line of \"{}\" is \"{}\", which parts documents",
                                data.path.string(), data.split),
                    data.where);
  return documents;
}

std::vector<std::string> read_all(const DataSpec& data) {
  const std::string format = data_format(data);
  if (format == "ids") throw bad_input("ids have no text", data.path.string());
  if (!data.messages.empty())
    throw bad_input("chat messages as data are not implemented", data.where,
                    "write the conversations as text and name it with field");
  if (!data.split.empty() && format != "text")
    throw bad_input(fmt::format("split is for text; in {} each record is a document", format),
                    data.where);
  if (format == "text") return read_text_files(data);
  std::vector<std::string> documents;
  read_fields(data.path, format, {{data.field}},
              [&](auto& values, int64_t) { documents.push_back(std::move(values[0])); });
  return documents;
}

/// A text that is not parted has no documents to leave out: skip and take count its lines.
std::string selected_lines(const DataSpec& data, std::string_view text) {
  std::vector<size_t> starts = {0};
  for (size_t i = 0; i + 1 < text.size(); ++i)
    if (text[i] == '\n') starts.push_back(i + 1);
  const Range range = selected_range(data, static_cast<int64_t>(starts.size()), "lines");
  starts.push_back(text.size());
  const size_t begin = starts[static_cast<size_t>(range.begin)];
  return std::string(text.substr(begin, starts[static_cast<size_t>(range.end)] - begin));
}

}  // namespace

Range selected_range(const DataSpec& data, int64_t count, const char* unit) {
  const auto part = [&](const std::optional<double>& fraction, int64_t otherwise) {
    if (!fraction) return otherwise;
    if (!(*fraction >= 0 && *fraction <= 1))
      throw bad_input("skip and take are fractions from 0 to 1", data.where);
    return static_cast<int64_t>(std::floor(*fraction * static_cast<double>(count)));
  };
  const int64_t begin = part(data.skip, 0);
  const int64_t end = std::min(count, begin + part(data.take, count));
  if (begin >= end)
    throw bad_input(fmt::format("skip and take leave nothing of {} {}", count, unit), data.where,
                    count == 1 && data.split.empty() ? "part the text into documents with split"
                                                     : "choose other fractions");
  return {begin, end};
}

std::vector<std::string> load_documents(const DataSpec& data) {
  std::vector<std::string> documents = read_all(data);
  if (std::all_of(documents.begin(), documents.end(), [](const auto& d) { return d.empty(); }))
    throw bad_input(fmt::format("\"{}\" has no text", data.path.string()), data.where);
  if (documents.size() == 1 && data_format(data) == "text")
    return {selected_lines(data, documents[0])};
  const Range range = selected_range(data, static_cast<int64_t>(documents.size()), "documents");
  documents.erase(documents.begin() + range.end, documents.end());
  documents.erase(documents.begin(), documents.begin() + range.begin);
  return documents;
}

}  // namespace attar
