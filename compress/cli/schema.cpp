// attar schema: the JSON Schema of recipes, for editors; from the same lists of fields that parse
// them.
#include <fmt/format.h>

#include <cmath>

#include "compress/cli/command.h"
#include "compress/recipe/sections.h"

namespace attar::cli {
namespace {

using Json = nlohmann::ordered_json;

Json object_schema(const std::vector<FieldInfo>& fields);

Json bounds(Json schema, const Constraint& c) {
  if (std::isfinite(c.low)) schema[c.low_open ? "exclusiveMinimum" : "minimum"] = c.low;
  if (std::isfinite(c.high)) schema["maximum"] = c.high;
  return schema;
}

/// `type` as FieldInfo names it.
Json type_schema(const std::string& type, const FieldInfo& field) {
  constexpr std::string_view kList = "list of ";
  if (type.starts_with(kList)) {
    const Json item = type_schema(type.substr(kList.size()), field);
    return {{"anyOf", {item, {{"type", "array"}, {"items", item}}}}};
  }
  if (type == "map") return object_schema(field.fields);
  if (type == "boolean") return {{"type", "boolean"}};
  if (type == "integer" || type == "number") return bounds({{"type", type}}, field.constraint);
  if (!field.constraint.choices.empty()) return {{"enum", field.constraint.choices}};
  return {{"type", {"string", "number", "boolean"}}};  // any scalar is text
}

Json field_schema(const FieldInfo& field) {
  Json schema = type_schema(field.type, field);
  schema["description"] = field.help;
  if (!field.default_value.empty()) schema["default"] = Json::parse(field.default_value);
  return schema;
}

Json object_schema(const std::vector<FieldInfo>& fields) {
  Json schema = {{"type", "object"}, {"additionalProperties", false}};
  schema["properties"] = Json::object();
  auto required = Json::array();
  for (const auto& field : fields) {
    schema["properties"][field.name] = field_schema(field);
    if (field.constraint.required) required.push_back(field.name);
  }
  if (!required.empty()) schema["required"] = std::move(required);
  return schema;
}

Json stage_schema(const StageType& type) {
  auto fields = describe_options<StageSection>();
  const auto own = type.describe();
  fields.insert(fields.end(), own.begin(), own.end());
  Json schema = object_schema(fields);
  schema["description"] = type.summary;
  schema["properties"]["type"] = {{"const", type.name}};
  return schema;
}

Json recipe_schema() {
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                 {"title", "attar recipe, format 1"}};
  schema.update(object_schema(describe_options<RecipeSection>()));
  const Json names = {{"pattern", "^[A-Za-z0-9_-]{1,100}$"}};

  Json entry = object_schema(describe_options<DataSection>());
  entry["anyOf"] = {{{"required", {"path"}}}, {{"required", {"from"}}}};
  auto stages = Json::array();
  for (const auto& type : toolbox().stages) stages.push_back(stage_schema(type));

  Json& properties = schema["properties"];
  properties["include"] = {
      {"description", "recipe files whose keys hold where this one has none"},
      {"anyOf", {{{"type", "string"}}, {{"type", "array"}, {"items", {{"type", "string"}}}}}}};
  properties["data"] = {
      {"type", "object"}, {"propertyNames", names}, {"additionalProperties", entry}};
  properties["stages"] = {{"type", "array"}, {"minItems", 1}, {"items", {{"oneOf", stages}}}};
  properties["gates"] = {
      {"description", "stage -> {recovery | METRIC_min | METRIC_max: bound}; exit 3 when not met"},
      {"type", "object"},
      {"additionalProperties",
       {{"type", "object"}, {"additionalProperties", {{"type", "number"}}}}}};
  Json sweep = object_schema(describe_options<SweepSection>());
  sweep["description"] = "a grid of models: every combination of values of some options";
  sweep["properties"]["over"] = {{"description", "stage.option -> values"},
                                 {"type", "object"},
                                 {"minProperties", 1},
                                 {"additionalProperties", {{"type", "array"}, {"minItems", 1}}}};
  sweep["required"] = {"over"};
  properties["sweep"] = std::move(sweep);
  // what an included file may hold is not required here
  Json whole = {{"required", schema["required"]}};
  whole["required"].push_back("stages");
  schema.erase("required");
  schema["anyOf"] = {{{"required", {"include"}}}, whole};
  return schema;
}

int run(const Command& self, const std::vector<std::string>& args) {
  const auto parsed = parse(self, args, po::options_description("Options"), {});
  if (parsed.help_shown) return 0;
  fmt::print("{}\n", recipe_schema().dump(2));
  return 0;
}

}  // namespace

Command schema_command() {
  return {"schema", "", "the JSON Schema of recipes, for editors",
          "attar schema > recipe.schema.json\n"
          "# then, at the top of a recipe, for editors with a YAML language server:\n"
          "#   # yaml-language-server: $schema=recipe.schema.json",
          run};
}

}  // namespace attar::cli
