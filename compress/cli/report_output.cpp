#include "compress/cli/report_output.h"

#include <fmt/format.h>
#include <unistd.h>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/cli/training.h"
#include "compress/formats/json.h"

namespace attar::cli {
namespace {

std::string quoted(const std::string& word) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string("_-+=./,:@%").find(c) != std::string::npos;
  };
  bool needs_quotes = word.empty();
  for (const char c : word) needs_quotes = needs_quotes || !plain(c);
  if (!needs_quotes) return word;
  std::string text = "'";
  for (const char c : word) {
    if (c == '\'')
      text.append("'\\''");
    else
      text.push_back(c);
  }
  text.push_back('\'');
  return text;
}

}  // namespace

std::string command_line() {
  std::string text = "attar";
  const auto& words = process_arguments();
  for (size_t i = 1; i < words.size(); ++i) text.append(" ").append(quoted(words[i]));
  return text;
}

void check_report_directory(const fs::path& directory) {
  const std::string hint = "choose another place with --output, or fix its permissions";
  if (fs::exists(directory / "recipe.yaml"))
    throw bad_input("the output directory is a run's, which has a report already",
                    directory.string(), "choose another place with --output");
  std::error_code ignored;
  fs::path nearest = fs::absolute(directory);
  while (!fs::exists(nearest, ignored) && nearest.has_relative_path())
    nearest = nearest.parent_path();
  if (!fs::is_directory(nearest, ignored))
    throw bad_input("the output directory can't be made: a file is in the way", nearest.string(),
                    hint);
  if (::access(nearest.c_str(), W_OK | X_OK) != 0)
    throw bad_input("cannot write the output directory", directory.string(), hint);
}

RunReport read_report(const fs::path& path) {
  const fs::path file = fs::is_directory(path) ? path / "report.json" : path;
  if (!fs::exists(file))
    throw bad_input("there is no report here", file.string(),
                    "give a run's directory or a report.json");
  return report_from_json(parse_json<nlohmann::ordered_json>(read_text(file), file.string()),
                          file.string());
}

}  // namespace attar::cli
