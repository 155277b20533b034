#include "compress/pipeline/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <new>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/base/process.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"
#include "compress/pipeline/cache.h"
#include "compress/pipeline/gates.h"
#include "compress/pipeline/model_card.h"
#include "compress/pipeline/preflight.h"
#include "compress/pipeline/run_directory.h"
#include "compress/pipeline/sweep.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;

std::string seconds_text(double seconds) {
  return fmt::format("{:.1f} s", seconds);
}

/// Parameters, size and bits per weight of the model in `directory`. Every stored weight counts,
/// with its scales and zeros.
void measure_model(const fs::path& directory, StageRow& row) {
  const ModelDirectory model = ModelDirectory::open(directory);
  int64_t weights = 0;
  uint64_t bytes = 0;
  for (const auto& info : model.weights->list()) {
    int64_t count = 1;
    for (const int64_t extent : info.shape) count *= extent;
    weights += count;
    bytes += info.bytes;
  }
  row.parameters = weights;
  row.bytes_on_disk = bytes_on_disk(directory);
  row.bits_per_weight =
      8.0 * static_cast<double>(bytes) / static_cast<double>(std::max<int64_t>(1, weights));
}

Json facts_of(const StageRow& row) {
  return {{"seconds", row.seconds},
          {"peak_rss_bytes", row.peak_rss_bytes},
          {"parameters", row.parameters},
          {"bytes_on_disk", row.bytes_on_disk},
          {"bits_per_weight", row.bits_per_weight}};
}

/// Any exception as an Error: what the standard library or LibTorch throws is a failure while
/// working.
Error as_error(const std::exception& e) {
  if (const auto* error = dynamic_cast<const Error*>(&e)) return *error;
  if (dynamic_cast<const std::bad_alloc*>(&e))
    return failure("out of memory", {}, "`attar plan` shows what each stage needs");
  return failure(e.what());
}

class Run {
 public:
  Run(const Recipe& recipe, const Toolbox& tools, const RunOptions& options)
      : recipe_(recipe),
        tools_(tools),
        options_(options),
        hashes_(recipe.output / ".cache" / "hashes.json"),
        keys_(recipe, tools, hashes_, thread_count()),
        stages_(chosen_stages(recipe, options.until)) {}

  RunResult run() {
    report_.notes = preflight(recipe_, tools_, stages_, hashes_, keys_);
    RunDirectory directory(recipe_);
    directory_ = &directory;
    try {
      begin_report();
      write_file(recipe_.output / "recipe.yaml", recipe_.resolved_yaml);
      hashes_.save();
      for (const auto* spec : stages_) run_stage(*spec);
      evaluate();
      hashes_.save();
      return finish();
    } catch (const std::exception& e) {
      throw after_failure(as_error(e));
    }
  }

 private:
  void begin_report() {
    report_.name = recipe_.name;
    report_.recipe_sha256 = recipe_.sha256;
    report_.command = options_.command;
    report_.seed = recipe_.seed;
    report_.host = describe_host();
    for (const auto& data : recipe_.data)
      report_.data.push_back({{"name", data.name},
                              {"path", data.path.string()},
                              {"read_as", describe_data(data)},
                              {"sha256", keys_.data_hash(data.name)}});
    if (recipe_.evaluate)
      for (const auto& task : recipe_.evaluate->tasks)
        report_.data.push_back({{"name", "task " + task.name},
                                {"path", task.path.string()},
                                {"sha256", hashes_.of(task.path)}});
  }

  fs::path model_of(const std::string& name) const {
    if (name == "model") return recipe_.model;
    const fs::path directory = recipe_.output / name / "model";
    if (!fs::is_directory(directory))
      throw bad_input("stage '" + name + "' makes no model", recipe_.file.string());
    return directory;
  }

  void run_stage(const StageSpec& spec) {
    check_interrupted();
    const Manifest draft = *keys_.draft(spec, artifacts_);
    const size_t number = report_.stages.size() + 1;
    const std::string label =
        fmt::format("[{}/{}] {} ({})", number, stages_.size(), spec.name, spec.type);
    StageRow row;
    row.name = spec.name;
    row.type = spec.type;
    row.from = spec.from;
    row.status = "cached";
    row.options = draft.options;
    const fs::path directory = recipe_.output / spec.name;
    auto manifest = options_.fresh ? std::nullopt : find_finished(directory, draft, hashes_);
    if (manifest) {
      say(label + ": finished earlier, kept");
      read_row(*manifest, directory, row);
    } else {
      say(label);
      manifest = work(spec, draft, row);
      say(fmt::format("{}: {} parameters, {}, {:.2f} bits a weight, {}", spec.name, row.parameters,
                      human_bytes(row.bytes_on_disk), row.bits_per_weight,
                      seconds_text(row.seconds)));
    }
    if (const auto& fallbacks = row.report.fallbacks; !fallbacks.empty())
      say(fmt::format("{}: {} fallbacks, the first: {} ({}): {}; all are in the report", spec.name,
                      fallbacks.size(), fallbacks[0].what, fallbacks[0].where, fallbacks[0].why));
    if (recipe_.ram_budget && row.peak_rss_bytes > *recipe_.ram_budget)
      report_.notes.push_back(
          fmt::format("stage '{}' used {} of memory, more than the budget of {}", spec.name,
                      human_bytes(row.peak_rss_bytes), human_bytes(*recipe_.ram_budget)));
    artifacts_[spec.name] = manifest->artifact_hash();
    report_.stages.push_back(std::move(row));
  }

  /// What a finished stage wrote down about itself.
  void read_row(const Manifest& manifest, const fs::path& directory, StageRow& row) const {
    const Json& facts = manifest.facts;
    row.seconds = facts.at("seconds");
    row.peak_rss_bytes = facts.at("peak_rss_bytes");
    row.parameters = facts.at("parameters");
    row.bytes_on_disk = facts.at("bytes_on_disk");
    row.bits_per_weight = facts.at("bits_per_weight");
    const fs::path file = directory / "report.json";
    const RunReport stored = report_from_json(Json::parse(read_text(file)), file.string());
    row.report = stored.stages.at(0).report;
  }

  /// Runs one stage into a staged directory and puts it in place.
  Manifest work(const StageSpec& spec, Manifest manifest, StageRow& row) {
    StagedDirectory staged(recipe_.output / spec.name, true);
    const fs::path scratch = directory_->scratch(spec.name, manifest.cache_key);
    if (options_.fresh)
      for (const auto& entry : fs::directory_iterator(scratch)) fs::remove_all(entry.path());
    StageContext context{
        .recipe = recipe_,
        .spec = spec,
        .input = spec.from == "model" ? fs::path(recipe_.model) : model_of(spec.from),
        .output = staged.path(),
        .scratch = scratch,
        .seed = manifest.seed,
        .threads = thread_count(),
        .report = row.report,
        .model_of = [this](const std::string& name) { return model_of(name); },
        .distributions = distributions()};
    row.status = "failed";
    reset_peak_rss();
    const auto start = std::chrono::steady_clock::now();
    try {
      find_stage_type(tools_, spec.type)->run(context);
      check_interrupted();
      verify(spec, staged.path(), row);
      row.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      row.peak_rss_bytes = peak_rss_bytes();
      row.status = "done";
      seal(staged.path(), manifest, row);
      staged.commit();
    } catch (const std::exception& e) {
      row.status = "failed";
      report_.stages.push_back(row);
      const Error error = as_error(e);
      throw Error(error.code(), "stage '" + spec.name + "': " + error.what(),
                  error.where().empty() ? spec.where : error.where(), error.hint());
    }
    worked_ = true;
    fs::remove_all(scratch);
    return manifest;
  }

  /// Reads back what the stage wrote, before anybody may use it.
  void verify(const StageSpec& spec, const fs::path& directory, StageRow& row) {
    auto& checks = row.report.checks;
    if (fs::exists(directory / "model")) {
      for (auto& result : check_model(directory / "model")) checks.push_back(std::move(result));
      if (std::all_of(checks.begin(), checks.end(), [](const Check& c) { return c.passed; }))
        measure_model(directory / "model", row);
    }
    for (const auto& c : checks)
      if (!c.passed)
        throw Error(
            ExitCode::gate, "verification failed: " + c.name + ": " + c.detail, spec.where,
            "the artifact was not put in place; this is a defect of the stage or of the disk");
  }

  void seal(const fs::path& directory, Manifest& manifest, const StageRow& row) const {
    RunReport own = report_;
    own.stages = {row};
    own.notes.clear();
    const std::string text = to_json(own).dump(2) + "\n";
    manifest.files = hash_files(directory);
    manifest.report_sha256 = sha256(text);
    manifest.facts = facts_of(row);
    write_file(directory / "report.json", text);
    write_manifest(manifest, directory);
  }

  fs::path distributions() const { return recipe_.output / ".cache" / "distributions"; }

  std::string reference() const {
    const std::string& name = recipe_.evaluate->reference;
    return name == "model" && recipe_.model.empty() ? recipe_.stages.front().name : name;
  }

  bool finished(const std::string& name) const {
    return name == "model" || artifacts_.contains(name);
  }

  void evaluate() {
    if (!recipe_.evaluate) return;
    const EvaluateSpec& spec = *recipe_.evaluate;
    EvaluationRequest request;
    request.data = *recipe_.find_data(spec.data);
    request.window = spec.window;
    request.metrics = spec.metrics;
    request.seed = recipe_.seed;
    request.activations = parse_activations(spec.activations, spec.where);
    request.cache = recipe_.output / ".cache" / "eval";
    request.reference_top_k = spec.reference_top_k;
    request.distributions = distributions();
    request.shots = spec.shots;
    for (const auto& task : spec.tasks) {
      request.tasks.push_back({task.name, task.kind, {}});
      request.tasks.back().data.path = task.path;
      request.tasks.back().data.samples = spec.samples;
    }
    std::vector<std::string> names = spec.models;
    if (names.empty()) {
      if (!recipe_.model.empty()) names.push_back("model");
      for (const auto* stage : stages_)
        if (fs::exists(recipe_.output / stage->name / "model")) names.push_back(stage->name);
    }
    for (const auto& name : names) {
      if (finished(name))
        request.models.push_back({name, model_of(name)});
      else
        report_.notes.push_back("not evaluated, the run stops before it: " + name);
    }
    if (!spec.reference.empty() && finished(reference()))
      request.reference = {reference(), model_of(reference())};
    if (request.models.empty()) return;
    say(fmt::format("evaluating {} models", request.models.size()));
    auto result = tools_.evaluate(request);
    report_.evaluation = std::move(result.rows);
    report_.notes.insert(report_.notes.end(), result.notes.begin(), result.notes.end());
  }

  /// Keeps what is finished in the report; what the error becomes.
  Error after_failure(const Error& e) {
    const bool untouched = !worked_ && e.code() == ExitCode::bad_input;
    if (untouched) {
      directory_->undo();
    } else {
      report_.notes.push_back(e.what() + (e.where().empty() ? "" : " (" + e.where() + ")"));
      try {
        hashes_.save();
        write_cards();
        write_report(report_, recipe_.output);
      } catch (const std::exception& second) {
        say(std::string("the report could not be written: ") + second.what());
      }
    }
    // Exit code 2 promises that nothing was written.
    return e.code() == ExitCode::bad_input && !untouched ? failure(e.what(), e.where(), e.hint())
                                                         : e;
  }

  /// A README.md into every model that this run has made or kept.
  void write_cards() {
    for (const auto& stage : report_.stages) {
      const fs::path model = recipe_.output / stage.name / "model";
      if (stage.status == "failed" || !fs::is_directory(model)) continue;
      if (!write_model_card(render_model_card(report_, stage, recipe_.model), model))
        report_.notes.push_back("the README.md in '" + stage.name +
                                "' is not attar's and stays as it is");
    }
  }

  RunResult finish() {
    RunResult result;
    result.report = recipe_.output / "report.html";
    if (recipe_.evaluate && options_.until.empty()) {
      const auto missed = missed_gates(recipe_, reference(), report_.evaluation);
      result.gates_passed = missed.empty();
      report_.notes.insert(report_.notes.end(), missed.begin(), missed.end());
      for (const auto& line : missed) say(line);
    }
    if (recipe_.sweep) report_.sweep = sweep_report(*recipe_.sweep, report_);
    write_cards();
    write_report(report_, recipe_.output);
    result.summary = render_summary(report_);
    return result;
  }

  const Recipe& recipe_;
  const Toolbox& tools_;
  const RunOptions& options_;
  FileHashes hashes_;
  CacheKeys keys_;
  std::vector<const StageSpec*> stages_;
  RunDirectory* directory_ = nullptr;
  std::map<std::string, std::string> artifacts_;  // stage -> artifact hash
  RunReport report_;
  bool worked_ = false;  // a stage of this run was put in place
};

}  // namespace

bool needs_training(const Recipe& recipe, const Toolbox& tools, const RunOptions& options) {
  FileHashes hashes(recipe.output / ".cache" / "hashes.json");
  CacheKeys keys(recipe, tools, hashes, options.threads > 0 ? options.threads : thread_count());
  std::map<std::string, std::string> artifacts;
  for (const auto* spec : chosen_stages(recipe, options.until)) {
    const bool trains = find_stage_type(tools, spec->type)->trains;
    const fs::path directory = recipe.output / spec->name;
    if (trains && (options.fresh || !fs::exists(directory / "manifest.json"))) return true;
    const auto draft = keys.draft(*spec, artifacts);
    const auto manifest = draft ? find_finished(directory, *draft, hashes) : std::nullopt;
    if (manifest)
      artifacts[spec->name] = manifest->artifact_hash();
    else if (trains)
      return true;
  }
  return false;
}

RunResult run_recipe(const Recipe& recipe, const Toolbox& tools, const RunOptions& options) {
  Problems problems;
  validate_recipe(recipe, tools, problems);
  problems.throw_if_any();
  if (options.threads > 0) set_thread_count(options.threads);
  return Run(recipe, tools, options).run();
}

}  // namespace attar
