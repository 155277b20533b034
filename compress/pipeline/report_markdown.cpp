// report.md and the table at the end of a run.
#include <fmt/format.h>

#include <algorithm>

#include "compress/pipeline/plan.h"
#include "compress/pipeline/report_table.h"

namespace attar {
namespace {

using report::Model;

/// Text inside a Markdown table cell or line.
std::string escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|' || c == '\\' || c == '`' || c == '*' || c == '_' || c == '<') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string table_line(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const auto& cell : cells) line += " " + cell + " |";
  return line + "\n";
}

/// The first column to the left, numbers to the right.
std::string rule(size_t columns) {
  std::string line = "| --- |";
  for (size_t i = 1; i < columns; ++i) line += " ---: |";
  return line + "\n";
}

std::string models_table(const RunReport& run) {
  const auto models = report::models_of(run);
  const auto columns = report::columns_of(run).main;
  std::vector<std::string> head = {"model"};
  for (const auto& column : columns) head.push_back(escape(column.title));
  std::string text = table_line(head) + rule(head.size());
  for (const auto& model : models) {
    std::vector<std::string> cells = {escape(model.name) +
                                      (model.is_reference ? " (reference)" : "")};
    for (const auto& column : columns) {
      const EvaluationRow* row = model.find(column.metric);
      std::string cell = row ? report::format_value(row->value, row->unit) : "";
      if (row && column.metric.starts_with("perplexity") && row->ci_low)
        cell += fmt::format(" {}", report::format_interval(*row));
      cells.push_back(cell);
    }
    text += table_line(cells);
  }
  return text;
}

/// One line on how the figures were had, from the first row that says it.
std::string protocol_line(const RunReport& run) {
  for (const auto& row : run.evaluation) {
    if (row.metric != "perplexity" || !row.details.is_object()) continue;
    const auto& d = row.details;
    if (!d.contains("window") || !d.contains("windows")) continue;
    return fmt::format(
        "Perplexity: protocol `{}`, {} windows of {} ids, {} predictions; ± is half the width of "
        "the 95 % bootstrap interval over windows. KL and top-1 agreement are relative to the "
        "reference, in "
        "nats and percent, at the same predictions.\n",
        row.protocol, d.at("windows").dump(), d.at("window").dump(), report::with_commas(row.n));
  }
  return "";
}

std::string stages_table(const RunReport& run) {
  std::string text = table_line({"stage", "type", "from", "status", "parameters", "size",
                                 "bits/weight", "time", "peak memory"}) +
                     rule(9);
  for (const auto& stage : run.stages)
    text +=
        table_line({escape(stage.name), escape(stage.type), escape(stage.from), stage.status,
                    report::format_value(static_cast<double>(stage.parameters), "count"),
                    human_bytes(stage.bytes_on_disk), fmt::format("{:.2f}", stage.bits_per_weight),
                    report::format_seconds(stage.seconds), human_bytes(stage.peak_rss_bytes)});
  return text;
}

std::string fallbacks_and_checks(const RunReport& run) {
  const auto count = report::count_checks(run);
  std::string text = "## Fallbacks and checks\n\n";
  text += count.fallbacks == 0 ? "- No fallback: everything was done as asked.\n" : "";
  for (const auto& stage : run.stages)
    for (const auto& f : stage.report.fallbacks)
      text += fmt::format("- fallback in {}: {} ({}): {}\n", escape(stage.name), escape(f.what),
                          escape(f.where), escape(f.why));
  text += fmt::format("- {} checks passed, {} failed.\n", count.passed, count.failed);
  for (const auto& stage : run.stages)
    for (const auto& c : stage.report.checks)
      if (!c.passed)
        text += fmt::format("- FAILED in {}: {}: {}\n", escape(stage.name), escape(c.name),
                            escape(c.detail));
  return text + "\n";
}

std::string text_of(const nlohmann::ordered_json& json, const char* key) {
  if (!json.is_object() || !json.contains(key)) return "";
  return json.at(key).is_string() ? json.at(key).get<std::string>() : json.at(key).dump();
}

std::string reproduction(const RunReport& run) {
  std::string text = "## How to make it again\n\n";
  if (!run.command.empty()) text += "```\n" + run.command + "\n```\n\n";
  text += fmt::format("attar {}, seed {}", ATTAR_VERSION, run.seed);
  if (!run.recipe_sha256.empty()) text += fmt::format(", recipe SHA-256 `{}`", run.recipe_sha256);
  text += fmt::format("\n\nHost: {}, kernel {}, {} threads\n", escape(text_of(run.host, "cpu")),
                      text_of(run.host, "kernel"), text_of(run.host, "threads"));
  for (const auto& data : run.data)
    text += fmt::format("\nData {}: {}, SHA-256 `{}`\n", escape(text_of(data, "name")),
                        escape(text_of(data, "path")), text_of(data, "sha256"));
  return text;
}

}  // namespace

std::string render_markdown(const RunReport& run) {
  std::string text = "# " + escape(run.name) + "\n\n";
  for (const auto& note : run.notes) text += "> " + escape(note) + "\n\n";
  if (!run.evaluation.empty())
    text += "## Models\n\n" + models_table(run) + "\n" + protocol_line(run) + "\n";
  if (!run.stages.empty())
    text += "## Stages\n\n" + stages_table(run) + "\n" + fallbacks_and_checks(run);
  return text + reproduction(run);
}

std::string render_summary(const RunReport& run) {
  const auto models = report::models_of(run);
  if (models.empty()) return "no model was evaluated\n";
  std::vector<std::vector<std::string>> lines(1, {"model"});
  const auto columns = report::columns_of(run).main;
  for (const auto& column : columns) lines[0].push_back(column.title);
  for (const auto& model : models) {
    auto& line = lines.emplace_back(1, model.name + (model.is_reference ? " *" : ""));
    for (const auto& column : columns) {
      const EvaluationRow* row = model.find(column.metric);
      line.push_back(row ? report::format_value(row->value, row->unit) : "");
    }
  }
  std::string text;
  for (const auto& line : lines) {
    for (size_t c = 0; c < line.size(); ++c) {
      size_t width = 0;
      for (const auto& other : lines) width = std::max(width, other[c].size());
      text +=
          c == 0 ? fmt::format("{:<{}}", line[c], width) : fmt::format("  {:>{}}", line[c], width);
    }
    text += "\n";
  }
  if (report::reference_model(models)) text += "* reference of KL and top-1\n";
  return text;
}

}  // namespace attar
