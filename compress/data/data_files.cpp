#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/data/document_readers.h"

namespace attar {
namespace {

const std::map<std::string, std::string> kExtensions = {
    {".txt", "text"},     {".text", "text"}, {".md", "text"},         {".jsonl", "jsonl"},
    {".ndjson", "jsonl"}, {".csv", "csv"},   {".safetensors", "ids"}, {".tsv", "tsv"},
};

std::vector<std::string> words(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> result;
  for (std::string word; stream >> word;) result.push_back(word);
  return result;
}

/// Hidden files are matched only by a glob that begins with a dot.
bool matches(const std::string& glob, const fs::path& path) {
  return ::fnmatch(glob.c_str(), path.filename().c_str(), FNM_PERIOD) == 0;
}

}  // namespace

std::string data_format(const DataSpec& data) {
  std::error_code code;
  const auto status = fs::status(data.path, code);
  if (!fs::exists(status))
    throw bad_input(fmt::format("the data \"{}\" does not exist", data.path.string()), data.where);
  const std::vector<std::string> formats = {"text", "jsonl", "csv", "tsv", "ids"};
  if (fs::is_directory(status)) {
    if (data.format.empty() || data.format == "text") return "text";
    throw bad_input(fmt::format("a directory can only hold text files, not {}", data.format),
                    data.where, "name one file");
  }
  if (!data.include.empty())
    throw bad_input("include chooses files of a directory, but the path is a file", data.where);
  if (data.format.empty()) {
    const auto found = kExtensions.find(data.path.extension().string());
    if (found != kExtensions.end()) return found->second;
    throw bad_input(fmt::format("the extension of \"{}\" does not tell its format",
                                data.path.filename().string()),
                    data.where, "add format: text, jsonl, csv, tsv or ids");
  }
  if (std::find(formats.begin(), formats.end(), data.format) == formats.end())
    throw bad_input(fmt::format("\"{}\" is no data format", data.format), data.where,
                    suggest(data.format, formats));
  return data.format;
}

std::vector<fs::path> data_files(const DataSpec& data) {
  if (!fs::is_directory(data.path)) return {data.path};
  const auto globs = words(data.include.empty() ? "*" : data.include);
  std::vector<bool> used(globs.size());
  std::vector<fs::path> files;
  std::error_code code;
  for (fs::recursive_directory_iterator entry(data.path, code), end; !code && entry != end;
       entry.increment(code)) {
    if (!entry->is_regular_file()) continue;
    bool wanted = false;
    for (size_t i = 0; i < globs.size(); ++i) {
      if (!matches(globs[i], entry->path())) continue;
      wanted = used[i] = true;
    }
    if (wanted) files.push_back(entry->path());
  }
  if (code)
    throw bad_input(fmt::format("cannot read the directory: {}", code.message()),
                    data.path.string());
  for (size_t i = 0; i < globs.size(); ++i)
    if (!used[i])
      throw bad_input(
          fmt::format("no file below \"{}\" matches \"{}\"", data.path.string(), globs[i]),
          data.where);
  std::sort(files.begin(), files.end(),
            [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
  return files;
}

}  // namespace attar
