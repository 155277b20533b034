#include "compress/data/labelled.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <set>

#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/base/random.h"
#include "compress/data/document_readers.h"
#include "compress/data/selection.h"

namespace attar {
namespace {

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

}  // namespace

std::vector<LabelledText> load_labelled(const DataSpec& data, bool needs_label, uint64_t seed) {
  const std::string format = data_format(data);
  if (format != "jsonl" && format != "csv" && format != "tsv")
    throw bad_input(
        fmt::format("labels need rows with fields, and \"{}\" is {}", data.path.string(), format),
        data.where, "use jsonl, csv or tsv");
  std::vector<FieldName> fields = {{data.field}};
  if (!data.pair.empty()) fields.push_back({data.pair});
  fields.push_back(
      {data.label.empty() ? "label" : data.label, needs_label || !data.label.empty(), true});
  std::vector<LabelledText> rows;
  read_fields(data.path, format, fields, [&](std::vector<std::string>& values, int64_t line) {
    LabelledText row{std::move(values[0]),
                     {},
                     std::move(values.back()),
                     fmt::format("{}:{}", data.path.string(), line)};
    if (!data.pair.empty()) row.second = std::move(values[1]);
    rows.push_back(std::move(row));
  });
  if (rows.empty()) throw bad_input("the file has no rows", data.path.string());
  const Range range = selected_range(data, std::ssize(rows), "rows");
  rows.erase(rows.begin() + range.end, rows.end());
  rows.erase(rows.begin(), rows.begin() + range.begin);
  return draw_rows(std::move(rows), data.samples, seed);
}

std::vector<LabelledText> draw_rows(std::vector<LabelledText> rows,
                                    const std::optional<int64_t>& samples, uint64_t seed) {
  if (!samples || *samples >= std::ssize(rows)) return rows;
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  Random(seed).shuffle(order);
  order.resize(static_cast<size_t>(*samples));
  std::sort(order.begin(), order.end());
  std::vector<LabelledText> drawn;
  for (const size_t i : order) drawn.push_back(std::move(rows[i]));
  return drawn;
}

LabelIndices label_indices(const std::vector<LabelledText>& rows,
                           const std::vector<std::string>& labels) {
  std::map<std::string_view, int64_t> by_name;
  for (size_t i = 0; i < labels.size(); ++i)
    if (!by_name.emplace(labels[i], i).second)
      throw bad_input(fmt::format("the model names two labels \"{}\"", labels[i]), "id2label");
  const auto count = std::ssize(labels);
  LabelIndices result;
  result.by_number = std::all_of(rows.begin(), rows.end(), [&](const LabelledText& row) {
    return whole_number(row.label) && !by_name.contains(row.label);
  });
  for (const LabelledText& row : rows) {
    if (result.by_number) {
      const int64_t index = *whole_number(row.label);
      if (index < 0 || index >= count)
        throw bad_input(fmt::format("the label {} is none of the model's {}", index, count),
                        row.where, fmt::format("labels are 0 to {} or names", count - 1));
      result.index.push_back(index);
      continue;
    }
    const auto found = by_name.find(row.label);
    if (found == by_name.end())
      throw bad_input(fmt::format("the label \"{}\" is none of the model's {}", row.label, count),
                      row.where, suggest(row.label, labels));
    result.index.push_back(found->second);
  }
  return result;
}

std::vector<std::string> distinct_labels(const std::vector<LabelledText>& rows) {
  std::set<std::string> seen;
  for (const LabelledText& row : rows) seen.insert(row.label);
  std::vector<std::string> labels(seen.begin(), seen.end());
  if (std::all_of(labels.begin(), labels.end(), whole_number))
    std::sort(labels.begin(), labels.end(), [](const std::string& a, const std::string& b) {
      return *whole_number(a) < *whole_number(b);
    });
  return labels;
}

}  // namespace attar
