#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "compress/base/error.h"
#include "compress/recipe/node.h"

namespace attar {
namespace {

/// "recipe.yaml:12: stages.slim" -> {"recipe.yaml", 12}; a place without a line has line 0.
std::pair<std::string_view, int> file_and_line(std::string_view where) {
  for (size_t colon = where.find(':'); colon != where.npos; colon = where.find(':', colon + 1)) {
    int line = 0;
    const char* end = where.data() + where.size();
    const auto [rest, error] = std::from_chars(where.data() + colon + 1, end, line);
    if (error == std::errc() && (rest == end || *rest == ':'))
      return {where.substr(0, colon), line};
  }
  return {where, 0};
}

}  // namespace

void Problems::add(std::string what, std::string where, std::string hint) {
  // A sweep's variants share their mistakes.
  for (const auto& known : list_)
    if (known.what == what && known.where == where) return;
  list_.push_back({std::move(what), std::move(where), std::move(hint)});
}

void Problems::throw_if_any() const {
  if (list_.empty()) return;
  if (list_.size() == 1) throw bad_input(list_[0].what, list_[0].where, list_[0].hint);
  std::vector<std::string_view> files;  // in the order in which they come up
  const auto place = [&](const Problem& problem) {
    const auto [file, line] = file_and_line(problem.where);
    const auto found = std::find(files.begin(), files.end(), file);
    return std::pair(found - files.begin(), line);
  };
  for (const auto& problem : list_)
    if (const auto file = file_and_line(problem.where).first;
        std::find(files.begin(), files.end(), file) == files.end())
      files.push_back(file);
  std::vector<Problem> sorted = list_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [&](const Problem& a, const Problem& b) { return place(a) < place(b); });
  std::string text = std::to_string(sorted.size()) + " mistakes";
  for (size_t i = 0; i < sorted.size(); ++i) {
    text += "\n  " + std::to_string(i + 1) + ". " + sorted[i].what;
    if (!sorted[i].where.empty()) text += "\n     where: " + sorted[i].where;
    if (!sorted[i].hint.empty()) text += "\n     hint:  " + sorted[i].hint;
  }
  throw bad_input(text);
}

}  // namespace attar
