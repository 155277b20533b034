// attar compare: several reports as one page.
#include <fmt/format.h>

#include <map>
#include <set>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/cli/command.h"
#include "compress/cli/report_output.h"
#include "compress/pipeline/report.h"

namespace attar::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Source {
  std::string name;  // unique
  RunReport report;
};

/// Reports of one name are told apart by their place.
std::vector<Source> read_sources(const std::vector<std::string>& words) {
  std::vector<Source> sources;
  std::map<std::string, int> uses;
  for (const auto& word : words) {
    sources.push_back({"", read_report(word)});
    ++uses[sources.back().report.name];
  }
  std::set<std::string> names;
  for (size_t i = 0; i < words.size(); ++i) {
    std::string& name = sources[i].name;
    name = sources[i].report.name;
    if (uses[name] > 1) {
      const fs::path path = fs::weakly_canonical(fs::absolute(words[i]));
      name = (fs::is_directory(path) ? path : path.parent_path()).filename().string();
    }
    if (!names.insert(name).second) name += fmt::format(" ({})", i + 1);
    names.insert(name);
  }
  return sources;
}

/// "run/model" where several reports have a model or stage of that name, else its own name.
class Names {
 public:
  explicit Names(const std::vector<Source>& sources) {
    for (const auto& source : sources) {
      std::set<std::string> own;
      for (const auto& stage : source.report.stages) own.insert(stage.name);
      for (const auto& row : source.report.evaluation) own.insert({row.model, row.reference});
      for (const auto& name : own) ++uses_[name];
    }
  }
  std::string operator()(const Source& source, const std::string& name) const {
    const auto use = uses_.find(name);
    return !name.empty() && use != uses_.end() && use->second > 1 ? source.name + "/" + name : name;
  }

 private:
  std::map<std::string, int> uses_;
};

/// What must be equal for two values of a metric to be comparable; "" for what always is.
std::string basis(const EvaluationRow& row) {
  const Json& d = row.details;
  if (!d.is_object() || !d.contains("data_sha256")) return "";
  return fmt::format("protocol {}, windows of {}, data {}", row.protocol,
                     d.value("window", Json()).dump(), d["data_sha256"].dump().substr(1, 12));
}

void note_differences(RunReport& merged) {
  std::map<std::string, std::set<std::string>> bases;
  for (const auto& row : merged.evaluation)
    if (const auto text = basis(row); !text.empty()) bases[row.metric].insert(text);
  for (const auto& [metric, list] : bases) {
    if (list.size() < 2) continue;
    std::string text;
    for (const auto& item : list) text += (text.empty() ? "" : "; ") + item;
    merged.notes.push_back("not comparable between all models: " + metric + " (" + text + ")");
  }
}

RunReport merge(const std::vector<Source>& sources) {
  RunReport merged;
  merged.command = command_line();
  merged.host = Json::object();
  const Names name(sources);
  for (const auto& source : sources) {
    const RunReport& report = source.report;
    merged.name += (merged.name.empty() ? "" : ", ") + source.name;
    merged.host[source.name] = report.host;
    for (StageRow stage : report.stages) {
      stage.name = name(source, stage.name);
      stage.from = name(source, stage.from);
      merged.stages.push_back(std::move(stage));
    }
    for (EvaluationRow row : report.evaluation) {
      row.model = name(source, row.model);
      row.reference = name(source, row.reference);
      merged.evaluation.push_back(std::move(row));
    }
    for (const auto& note : report.notes) merged.notes.push_back(source.name + ": " + note);
    for (Json data : report.data) {
      if (data.is_object()) data["run"] = source.name;
      merged.data.push_back(std::move(data));
    }
    merged.data.push_back({{"name", source.name},
                           {"made by", report.command},
                           {"seed", report.seed},
                           {"recipe_sha256", report.recipe_sha256}});
  }
  note_differences(merged);
  return merged;
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  std::vector<std::string> words;
  std::string output;
  options.add_options()                                                                  //
      ("report", po::value(&words)->required(), "run directories or report.json files")  //
      ("output", po::value(&output)->default_value("attar-compare"), "directory of the page");
  po::positional_options_description positional;
  positional.add("report", -1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;

  check_report_directory(output);
  const RunReport merged = merge(read_sources(words));
  write_report(merged, output);
  if (parsed.json)
    fmt::print("{}\n", to_json(merged).dump(2, ' ', false, Json::error_handler_t::replace));
  else
    fmt::print("{}{}\n", render_summary(merged), (fs::path(output) / "report.html").string());
  return 0;
}

}  // namespace

Command compare_command() {
  return {"compare", "RUN_OR_REPORT… [options]",
          "one page over several runs: accuracy against size and speed",
          "attar compare runs/a runs/b --output comparison\n"
          "attar compare runs/a/report.json evaluation/report.json",
          run};
}

}  // namespace attar::cli
