#include "compress/pipeline/model_card.h"

#include <fmt/format.h>

#include <algorithm>

#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/pipeline/plan.h"
#include "compress/pipeline/report_table.h"

namespace attar {
namespace {

using report::Model;

constexpr std::string_view kMark = "<!-- model card by attar, sha256 ";

/// The `license:` line of a card's front matter (between two lines "---"), or "".
std::string licence_line(const fs::path& base) {
  std::error_code ignored;
  const fs::path file = base / "README.md";
  if (base.empty() || !fs::is_regular_file(file, ignored)) return "";
  const std::string text = read_text(file);
  if (!text.starts_with("---\n")) return "";
  const std::string front = text.substr(4, text.find("\n---", 3) - 4);
  size_t at = front.starts_with("license:") ? 0 : front.find("\nlicense:");
  if (at == std::string::npos) return "";
  if (front[at] == '\n') ++at;
  return front.substr(at, front.find('\n', at) - at);
}

bool has_licence_file(const fs::path& directory) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored))
    if (entry.path().filename().string().starts_with("LICENSE")) return true;
  return false;
}

std::string front_matter(const StageRow& stage, const fs::path& base) {
  std::string text = "---\n";
  if (const auto licence = licence_line(base); !licence.empty()) text += licence + "\n";
  if (!base.empty())
    text += "base_model: " + nlohmann::json(base.filename().string()).dump() + "\n";
  text += "tags:\n- attar\n- " + stage.type + "\n";
  return text + "---\n";
}

/// The stages from the recipe's model to this one.
std::vector<const StageRow*> lineage(const RunReport& report, const StageRow& stage) {
  std::vector<const StageRow*> chain = {&stage};
  for (bool found = true; found;) {
    found = false;
    for (const auto& other : report.stages)
      if (other.name == chain.back()->from && &other != chain.back()) {
        chain.push_back(&other);
        found = true;
        break;
      }
  }
  std::reverse(chain.begin(), chain.end());
  return chain;
}

std::string options_text(const StageRow& stage) {
  std::string text;
  if (!stage.options.is_object()) return text;
  for (const auto& [key, value] : stage.options.items()) {
    if (value.is_null() || value.is_structured() || value == "") continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", key,
                        value.is_string() ? value.get<std::string>() : value.dump());
  }
  return text;
}

std::string figures(const RunReport& report, const StageRow& stage) {
  const auto models = report::models_of(report);
  const auto own = std::find_if(models.begin(), models.end(),
                                [&](const Model& model) { return model.name == stage.name; });
  if (own == models.end()) return "";
  const Model* reference = report::reference_model(models);
  if (reference == &*own) reference = nullptr;
  std::string text = "## Measured\n\n| metric | this model |";
  text += reference ? " " + reference->name + " |\n| --- | ---: | ---: |\n" : "\n| --- | ---: |\n";
  const auto columns = report::columns_of(report);
  for (const auto& column : columns.main) {
    const EvaluationRow* row = own->find(column.metric);
    if (!row) continue;
    const std::string interval = report::format_interval(*row);
    text += fmt::format("| {} | {}{} |", column.title, report::format_value(row->value, row->unit),
                        interval.empty() ? "" : " " + interval);
    const EvaluationRow* base = reference ? reference->find(column.metric) : nullptr;
    if (reference) text += " " + (base ? report::format_value(base->value, base->unit) : "") + " |";
    text += "\n";
  }
  return text + "\n";
}

std::string fallbacks(const std::vector<const StageRow*>& chain) {
  std::string text;
  for (const auto* stage : chain)
    for (const auto& f : stage->report.fallbacks)
      text += fmt::format("- {}: {} ({}): {}\n", stage->name, f.what, f.where, f.why);
  return text.empty() ? "Everything was done as asked; there were no fallbacks.\n\n"
                      : "Done otherwise than asked:\n\n" + text + "\n";
}

}  // namespace

std::string render_model_card(const RunReport& report, const StageRow& stage,
                              const fs::path& base) {
  const auto chain = lineage(report, stage);
  std::string text = front_matter(stage, base) + "# " + stage.name + "\n\n";
  text += fmt::format(
      "{} parameters, {} bits a weight, {} on disk", report::with_commas(stage.parameters),
      report::significant(stage.bits_per_weight, 3), human_bytes(stage.bytes_on_disk));
  text += base.empty() ? ".\n\n" : fmt::format(". Made from {}.\n\n", base.filename().string());
  text += figures(report, stage);
  text += "## How it was made\n\n";
  for (const auto* one : chain) {
    const std::string options = options_text(*one);
    text += fmt::format("1. **{}** ({}){}{}\n", one->name, one->type, options.empty() ? "" : ": ",
                        options);
  }
  text += "\n" + fallbacks(chain);
  const bool passed = std::all_of(stage.report.checks.begin(), stage.report.checks.end(),
                                  [](const Check& check) { return check.passed; });
  text += fmt::format("Read back from disk after writing: {} checks, {}.\n\n",
                      stage.report.checks.size(), passed ? "all passed" : "some FAILED");
  text += fmt::format("attar {}, recipe `{}`, SHA-256 `{}`, seed {}\n\n", ATTAR_VERSION,
                      report.name, report.recipe_sha256, report.seed);
  if (!base.empty())
    text += fmt::format(
        "## Licence\n\nThis model is derived from {} and stays under that model's "
        "licence{}.\n",
        base.filename().string(), has_licence_file(base) ? ", whose file is carried along" : "");
  return text;
}

bool write_model_card(const std::string& card, const fs::path& model_directory) {
  const fs::path file = model_directory / "README.md";
  std::error_code ignored;
  if (fs::exists(file, ignored)) {
    const std::string text = fs::is_regular_file(file, ignored) ? read_text(file) : "";
    const size_t mark = text.rfind(kMark);
    const bool own =
        mark != std::string::npos &&
        text.substr(mark) == fmt::format("{}{} -->\n", kMark, sha256(text.substr(0, mark)));
    if (!own) return false;
  }
  const std::string body = card + "\n";
  write_file(file, body + fmt::format("{}{} -->\n", kMark, sha256(body)));
  return true;
}

}  // namespace attar
