// The report of a run: JSON for machines, Markdown for a model card, one HTML page for people.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "compress/pipeline/stage.h"

namespace attar {

struct StageRow {
  std::string name, type, from, status;  // done | cached | failed
  double seconds = 0;
  uint64_t peak_rss_bytes = 0;
  int64_t parameters = 0;
  uint64_t bytes_on_disk = 0;
  double bits_per_weight = 0;
  std::string bits_excluded;  // what is left out of bits_per_weight; "" = nothing
  StageReport report;
  nlohmann::ordered_json options;
};

struct EvaluationRow {
  std::string model, metric, protocol;
  double value = 0;
  std::optional<double> ci_low, ci_high;  // 95 %
  std::string unit;
  int64_t n = 0;
  std::string reference;  // relative metrics
  bool higher_is_better = false;
  nlohmann::ordered_json details;  // bos, tokenizer hash, window, kernel, dropped tokens …
};

struct RunReport {
  std::string name, recipe_sha256, command;
  uint64_t seed = 0;
  nlohmann::ordered_json host;   // cpu, features, kernel, threads
  std::vector<StageRow> stages;  // the input model is no stage; it is in `models`
  std::vector<EvaluationRow> evaluation;
  std::vector<std::string> notes;  // shown on the page: gates missed, data facts
  nlohmann::ordered_json data = nlohmann::ordered_json::array();
  /// Of a sweep, else null: axes [{option, values}], models [{model, settings, beyond}], budget,
  /// metric, recommended (a model or null), advice [sentences].
  nlohmann::ordered_json sweep;
};

/// What `schema` in report.json says: the fields documented in these structs. A number that is not
/// finite is written as null.
inline constexpr std::string_view kReportSchema = "attar-report/1";

nlohmann::ordered_json to_json(const RunReport& report);
/// The inverse. Throws bad_input for anything that is no report; `where` is its place for messages.
RunReport report_from_json(const nlohmann::ordered_json& json, const std::string& where = {});

nlohmann::ordered_json to_json(const EvaluationRow& row);
/// Throws nlohmann::json::exception for what to_json does not write.
EvaluationRow evaluation_row_from_json(const nlohmann::ordered_json& json);

/// For a model card: the table of models, the stages, fallbacks, checks, how to make it again.
std::string render_markdown(const RunReport& report);
/// One self-contained page: no network, light and dark.
std::string render_html(const RunReport& report);
/// The table that a run prints at its end: one line a model.
std::string render_summary(const RunReport& report);

/// report.json, report.md, report.html, each replaced atomically; makes the directory.
void write_report(const RunReport& report, const std::filesystem::path& directory);

/// cpu, features, kernel, threads, memory_bytes.
nlohmann::ordered_json describe_host();

}  // namespace attar
