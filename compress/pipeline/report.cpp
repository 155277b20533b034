#include "compress/pipeline/report.h"

#include <limits>

#include "compress/base/error.h"
#include "compress/base/files.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;

/// JSON knows no infinity: to_json's null.
double number(const Json& json) {
  return json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
}

Json optional_number(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::optional<double> optional_from(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(json.get<double>());
}

Json to_json(const StageReport& report) {
  Json fallbacks = Json::array(), checks = Json::array();
  bool passed = true;
  for (const auto& f : report.fallbacks)
    fallbacks.push_back({{"what", f.what}, {"where", f.where}, {"why", f.why}});
  for (const auto& c : report.checks) {
    checks.push_back({{"name", c.name}, {"passed", c.passed}, {"detail", c.detail}});
    passed = passed && c.passed;
  }
  return {{"fallbacks", fallbacks},
          {"verification", {{"passed", passed}, {"checks", checks}}},
          {"layers", report.layers},
          {"facts", report.facts},
          {"curves", report.curves}};
}

StageReport stage_report_from(const Json& json) {
  StageReport report;
  for (const auto& f : json.at("fallbacks"))
    report.fallbacks.push_back({f.at("what"), f.at("where"), f.at("why")});
  for (const auto& c : json.at("verification").at("checks"))
    report.checks.push_back({c.at("name"), c.at("passed"), c.at("detail")});
  report.layers = json.at("layers");
  report.facts = json.at("facts");
  report.curves = json.at("curves");
  return report;
}

Json to_json(const StageRow& row) {
  Json json = {{"name", row.name},
               {"type", row.type},
               {"from", row.from},
               {"status", row.status},
               {"seconds", row.seconds},
               {"peak_rss_bytes", row.peak_rss_bytes},
               {"parameters", row.parameters},
               {"bytes_on_disk", row.bytes_on_disk},
               {"bits_per_weight", row.bits_per_weight},
               {"bits_excluded", row.bits_excluded},
               {"options", row.options}};
  json.update(to_json(row.report));
  return json;
}

StageRow stage_row_from(const Json& json) {
  StageRow row;
  row.name = json.at("name");
  row.type = json.at("type");
  row.from = json.at("from");
  row.status = json.at("status");
  row.seconds = number(json.at("seconds"));
  row.peak_rss_bytes = json.at("peak_rss_bytes");
  row.parameters = json.at("parameters");
  row.bytes_on_disk = json.at("bytes_on_disk");
  row.bits_per_weight = number(json.at("bits_per_weight"));
  row.bits_excluded = json.at("bits_excluded");
  row.options = json.at("options");
  row.report = stage_report_from(json);
  return row;
}

RunReport parse(const Json& json) {
  RunReport report;
  report.name = json.at("name");
  report.seed = json.at("seed");
  report.recipe_sha256 = json.at("recipe_sha256");
  report.command = json.at("command");
  report.host = json.at("host");
  for (const auto& row : json.at("stages")) report.stages.push_back(stage_row_from(row));
  for (const auto& row : json.at("evaluation"))
    report.evaluation.push_back(evaluation_row_from_json(row));
  report.notes = json.at("notes").get<std::vector<std::string>>();
  report.data = json.at("data");
  report.sweep = json.value("sweep", Json());
  return report;
}

}  // namespace

Json to_json(const EvaluationRow& row) {
  return {{"model", row.model},
          {"metric", row.metric},
          {"protocol", row.protocol},
          {"value", row.value},
          {"ci_low", optional_number(row.ci_low)},
          {"ci_high", optional_number(row.ci_high)},
          {"unit", row.unit},
          {"n", row.n},
          {"reference", row.reference},
          {"higher_is_better", row.higher_is_better},
          {"details", row.details}};
}

EvaluationRow evaluation_row_from_json(const Json& json) {
  EvaluationRow row;
  row.model = json.at("model");
  row.metric = json.at("metric");
  row.protocol = json.at("protocol");
  row.value = number(json.at("value"));
  row.ci_low = optional_from(json.at("ci_low"));
  row.ci_high = optional_from(json.at("ci_high"));
  row.unit = json.at("unit");
  row.n = json.at("n");
  row.reference = json.at("reference");
  row.higher_is_better = json.at("higher_is_better");
  row.details = json.at("details");
  return row;
}

Json to_json(const RunReport& report) {
  Json stages = Json::array(), evaluation = Json::array();
  for (const auto& row : report.stages) stages.push_back(to_json(row));
  for (const auto& row : report.evaluation) evaluation.push_back(to_json(row));
  return {{"schema", kReportSchema},
          {"name", report.name},
          {"attar_version", ATTAR_VERSION},
          {"seed", report.seed},
          {"recipe_sha256", report.recipe_sha256},
          {"command", report.command},
          {"host", report.host},
          {"stages", stages},
          {"evaluation", evaluation},
          {"notes", report.notes},
          {"data", report.data},
          {"sweep", report.sweep}};
}

RunReport report_from_json(const Json& json, const std::string& where) {
  const std::string hint = "a report.json that attar wrote is expected";
  if (!json.is_object() || !json.contains("schema"))
    throw bad_input("this is no attar report: it names no schema", where, hint);
  if (json.at("schema") != kReportSchema)
    throw bad_input("unknown report schema " + json.at("schema").dump(), where,
                    "this attar reads " + std::string(kReportSchema));
  try {
    return parse(json);
  } catch (const nlohmann::json::exception& e) {
    throw bad_input(std::string("malformed report: ") + e.what(), where, hint);
  }
}

void write_report(const RunReport& report, const fs::path& directory) {
  // Paths and model names come from outside and need not be UTF-8.
  const auto replace = Json::error_handler_t::replace;
  fs::create_directories(directory);
  write_file(directory / "report.json", to_json(report).dump(2, ' ', false, replace) + "\n");
  write_file(directory / "report.md", render_markdown(report));
  write_file(directory / "report.html", render_html(report));
}

}  // namespace attar
