// attar list: the tables of what a recipe can name, with every option, default and range.
#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "compress/architecture/family.h"
#include "compress/base/error.h"
#include "compress/base/nearest.h"
#include "compress/cli/command.h"
#include "compress/cli/tables.h"

namespace attar::cli {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const std::vector<FieldInfo>& fields) {
  auto list = Json::array();
  for (const auto& field : fields) {
    Json row = {{"name", field.name}, {"type", field.type}};
    row["required"] = field.constraint.required;
    row["default"] = field.default_value.empty() ? Json() : Json::parse(field.default_value);
    row["range"] = field.range;
    row["help"] = field.help;
    if (!field.fields.empty()) row["options"] = to_json(field.fields);
    list.push_back(std::move(row));
  }
  return list;
}

Json to_json(const std::vector<TableRow>& rows) {
  auto list = Json::array();
  for (const auto& row : rows) {
    Json entry = {{"name", row.name}, {"summary", row.summary}};
    if (!row.options.empty()) entry["options"] = to_json(row.options);
    list.push_back(std::move(entry));
  }
  return list;
}

/// "keep.ffn": every option of a nested map on a line of its own.
void flatten(const std::vector<FieldInfo>& fields, const std::string& prefix,
             std::vector<FieldInfo>& flat) {
  for (FieldInfo field : fields) {
    field.name = prefix + field.name;
    const auto nested = std::move(field.fields);
    const std::string name = field.name + ".";
    if (nested.empty() || !field.help.empty()) flat.push_back(std::move(field));
    flatten(nested, name, flat);
  }
}

std::string default_text(const FieldInfo& field) {
  if (field.constraint.required) return "required";
  if (field.type == "map" || field.default_value.empty() || field.default_value == "\"\"" ||
      field.default_value == "[]")
    return "-";
  const Json value = Json::parse(field.default_value);
  return value.is_string() ? value.get<std::string>() : field.default_value;
}

void print_options(const std::vector<FieldInfo>& options) {
  std::vector<FieldInfo> flat;
  flatten(options, "", flat);
  size_t name = 0, type = 0, fallback = 0;
  for (const auto& field : flat) {
    name = std::max(name, field.name.size());
    type = std::max(type, field.type.size());
    fallback = std::max(fallback, default_text(field).size());
  }
  for (const auto& field : flat)
    fmt::print("    {:<{}}  {:<{}}  {:<{}}  {}{}\n", field.name, name, field.type, type,
               default_text(field), fallback, field.help,
               field.range.empty() ? "" : " [" + field.range + "]");
}

void print_table(const Table& table) {
  const auto rows = table.rows();
  size_t width = 0;
  for (const auto& row : rows) width = std::max(width, row.name.size());
  fmt::print("{}: {}\n", table.name, table.summary);
  for (const auto& row : rows) {
    fmt::print("  {:<{}}  {}\n", row.name, width, row.summary);
    print_options(row.options);
  }
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  std::string wanted;
  options.add_options()("table", po::value(&wanted), "one of the tables; default: all");
  po::positional_options_description positional;
  positional.add("table", 1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;

  std::vector<const Table*> chosen;
  std::vector<std::string> names;
  for (const auto& table : tables()) {
    names.emplace_back(table.name);
    if (wanted.empty() || wanted == table.name) chosen.push_back(&table);
  }
  if (chosen.empty()) throw bad_input("no table '" + wanted + "'", {}, suggest(wanted, names));
  if (parsed.json) {
    Json json;
    for (const auto* table : chosen) json[std::string(table->name)] = to_json(table->rows());
    fmt::print("{}\n", json.dump(2));
    return 0;
  }
  for (const auto* table : chosen) {
    if (table != chosen.front()) fmt::print("\n");
    print_table(*table);
  }
  return 0;
}

}  // namespace

Command list_command() {
  return {"list", "[stages|schemes|losses|criteria|metrics|architectures|formats]",
          "what a recipe can name, with every option, default and range",
          "attar list\n"
          "attar list stages\n"
          "attar list schemes --json",
          run};
}

}  // namespace attar::cli
