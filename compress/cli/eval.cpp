// attar eval: measures models on data and compares them with a reference.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/base/nearest.h"
#include "compress/base/progress.h"
#include "compress/cli/command.h"
#include "compress/cli/report_output.h"
#include "compress/pipeline/report.h"
#include "eval/baseline.h"
#include "eval/evaluate.h"
#include "eval/tasks/task.h"

namespace attar::cli {
namespace {

std::vector<std::string> split(const std::string& list, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, separator);)
    if (!part.empty()) parts.push_back(part);
  return parts;
}

/// "[name=]path[+adapter=path]"; the name is empty when none is given.
EvaluationModel parse_model(const std::string& word) {
  constexpr std::string_view kAdapter = "+adapter=";
  const size_t plus = fs::exists(word) ? std::string::npos : word.find(kAdapter);
  const std::string base = word.substr(0, plus);
  EvaluationModel model{"", base, {}};
  if (plus != std::string::npos) {
    model.adapter = fs::absolute(word.substr(plus + kAdapter.size())).lexically_normal();
    if (!fs::is_directory(model.adapter))
      throw bad_input("no such adapter directory", model.adapter.string(),
                      "MODEL+adapter=DIR, DIR with adapter_config.json");
  }
  const size_t sign = base.find('=');
  if (sign == std::string::npos || fs::exists(base)) return model;
  model.name = base.substr(0, sign);
  model.directory = base.substr(sign + 1);
  return model;
}

/// The last `parts` components of the path: "int4/model".
std::string tail(const fs::path& path, size_t parts) {
  const fs::path whole = fs::weakly_canonical(fs::absolute(path));
  const std::vector<fs::path> components(whole.begin(), whole.end());
  fs::path name;
  for (size_t i = components.size() - std::min(parts, components.size()); i < components.size();
       ++i)
    name /= components[i];
  return name.string();
}

/// Names those without one by their directory, with as many parents as it takes to tell them apart.
/// A run's stages (`<stage>/model`) go by the stage.
void name_models(std::vector<EvaluationModel>& models) {
  std::vector<size_t> nameless;
  for (size_t i = 0; i < models.size(); ++i)
    if (models[i].name.empty()) nameless.push_back(i);
  const auto name_of = [&](size_t i, size_t parts) {
    const fs::path path = fs::weakly_canonical(fs::absolute(models[i].directory));
    const bool of_stage = path.filename() == "model" && path.has_parent_path();
    const std::string name = tail(of_stage ? path.parent_path() : path, parts);
    return models[i].adapter.empty() ? name : name + "+" + tail(models[i].adapter, parts);
  };
  for (size_t parts = 1; parts <= 8; ++parts) {
    std::set<std::string> names;
    for (const size_t i : nameless) names.insert(name_of(i, parts));
    for (const size_t i : nameless) models[i].name = name_of(i, parts);
    if (names.size() == nameless.size()) return;
  }
}

/// Where the reference is among the models: by the name given to it or by its directory;
/// models.size() when it is none of them.
size_t find_reference(const std::vector<EvaluationModel>& models, const std::string& reference) {
  std::error_code ignored;
  const bool named = std::any_of(models.begin(), models.end(),
                                 [&](const EvaluationModel& m) { return m.name == reference; });
  for (size_t i = 0; i < models.size(); ++i) {
    if (models[i].name == reference) return i;
    if (named) continue;
    const EvaluationModel other = parse_model(reference);
    if (fs::equivalent(models[i].directory, other.directory, ignored) &&
        models[i].adapter == other.adapter)
      return i;
  }
  return models.size();
}

EvaluationRequest request_of(const std::vector<std::string>& words, const std::string& reference,
                             const std::string& metrics, bool packed_cache) {
  std::vector<EvaluationModel> models;
  const auto add = [&](const std::string& word) {
    models.push_back(parse_model(word));
    models.back().packed_cache = packed_cache && models.back().adapter.empty();
    if (packed_cache && !models.back().adapter.empty())
      say(word + ": with an adapter, packed weights are not kept");
  };
  for (const auto& word : words) add(word);
  EvaluationRequest request;
  request.metrics = split(metrics, ',');
  if (reference.empty()) {
    name_models(models);
    request.models = models;
    return request;
  }
  const size_t index = find_reference(models, reference);
  if (index == models.size()) add(reference);
  name_models(models);
  request.reference = models[index];
  models.resize(words.size());
  request.models = models;
  return request;
}

/// "FILE", "NAME=FILE", or the name of a kind of task, whose file is then --data's.
EvaluationTask parse_task(const std::string& word, DataSpec& data) {
  std::vector<std::string> shapes;
  for (const auto& shape : eval::task_shapes()) shapes.emplace_back(shape.name);
  const auto known = [&](const std::string& name) {
    return std::find(shapes.begin(), shapes.end(), name) != shapes.end();
  };
  EvaluationTask task;
  task.data.where = "--task";
  const size_t sign = word.find('=');
  if (fs::exists(word)) {
    task.data.path = fs::absolute(word);
    task.name = task.data.path.stem().string();
  } else if (sign != std::string::npos) {
    task.name = word.substr(0, sign);
    task.data.path = fs::absolute(word.substr(sign + 1));
    if (known(task.name)) task.shape = task.name;
  } else if (known(word)) {
    if (data.path.empty())
      throw bad_input("the file of the task '" + word + "' is missing", "--task",
                      "--task " + word + "=FILE, or name it with --data");
    task.name = task.shape = word;
    task.data = data;
    data.path.clear();  // a task's file is no text to measure perplexity on
  } else {
    throw bad_input("'" + word + "' is neither a file nor a kind of task", "--task",
                    suggest(word, shapes));
  }
  if (!fs::exists(task.data.path))
    throw bad_input("no such file", task.data.path.string(), "--task NAME=FILE");
  task.data.samples = data.samples;
  return task;
}

RunReport report_of(const EvaluationRequest& request) {
  RunReport report;
  report.name = "evaluation";
  report.command = command_line();
  report.seed = request.seed;
  report.host = describe_host();
  if (!request.data.path.empty())
    report.data.push_back(
        {{"name", "data"},
         {"path", request.data.path.string()},
         {"sha256", fs::is_regular_file(request.data.path) ? sha256_file(request.data.path)
                                                           : std::string()}});
  for (const auto& task : request.tasks)
    report.data.push_back({{"name", "task " + task.name},
                           {"path", task.data.path.string()},
                           {"sha256", sha256_file(task.data.path)}});
  return report;
}

int run(const Command& self, const std::vector<std::string>& args) {
  po::options_description options("Options");
  std::vector<std::string> words, tasks;
  std::string data, reference, metrics, output, baseline, activations, reference_cache;
  EvaluationRequest defaults;
  DataSpec spec;
  int64_t window = 0, samples = 0;
  options.add_options()  //
      ("model", po::value(&words)->required(),
       "model directories; name=path gives a name, path+adapter=DIR folds in a PEFT adapter")     //
      ("data", po::value(&data), "text, JSONL, CSV, TSV or ids (safetensors with input_ids)")     //
      ("format", po::value(&spec.format), "text, jsonl, csv, tsv or ids; default: by extension")  //
      ("field", po::value(&spec.field)->default_value(spec.field),
       "jsonl, csv, tsv: where the text is")  //
      ("label", po::value(&spec.label),
       "jsonl, csv, tsv: where the label (or a pair's score) is; default: label")             //
      ("pair", po::value(&spec.pair), "jsonl, csv, tsv: where the second text of a pair is")  //
      ("reference", po::value(&reference),
       "model that KL, top-1 and differences refer to; may be one of the models' names")  //
      ("reference-top-k", po::value(&defaults.reference_top_k),
       "keep that many ids of the reference's distributions on disk and do not run it again; KL is "
       "then a lower bound")  //
      ("reference-cache", po::value(&reference_cache),
       "where they are kept; default: below --output, a run's are in RUN/.cache/distributions")  //
      ("metrics", po::value(&metrics),
       "comma separated, see `attar list metrics`; default: all that apply")  //
      ("task", po::value(&tasks),
       "questions with answers: a file, NAME=FILE, or a kind of task whose file --data names; may "
       "be given several times")  //
      ("shots", po::value(&defaults.shots)->default_value(0),
       "solved examples before each question of a task")  //
      ("window", po::value(&window),
       "ids a window, default the smaller of 2048 and the models' maximum; of encoders: where "
       "longer "
       "texts are cut, default: an error")  //
      ("activations", po::value(&activations)->default_value("exact"),
       "how inputs enter products with quantized weights: exact, int16 or int8 (rounded by groups, "
       "each faster); the reference is always exact")  //
      ("samples", po::value(&samples),
       "windows, and examples of each task, at most; drawn with the seed")                      //
      ("seed", po::value(&defaults.seed)->default_value(0), "of bootstrap, samples and shots")  //
      ("output", po::value(&output),
       "directory for report.json, report.md, report.html; finished rows are kept there");
  bool packed_cache = false;
  add_packed_cache(options, packed_cache);
  options.add_options()("baseline", po::value(&baseline),
                        "earlier run or report.json; exit 3 if a model of the same name got worse "
                        "by more than noise");
  po::positional_options_description positional;
  positional.add("model", -1);
  const auto parsed = parse(self, args, options, positional);
  if (parsed.help_shown) return 0;

  EvaluationRequest request = request_of(words, reference, metrics, packed_cache);
  request.seed = defaults.seed;
  request.activations = parse_activations(activations, "--activations");
  if (parsed.values.count("window") && window < 2)
    throw bad_input("--window must be at least 2", "--window");
  if (parsed.values.count("window")) request.window = window;
  if (parsed.values.count("samples") && samples < 1)
    throw bad_input("--samples must be at least 1", "--samples");
  if (parsed.values.count("samples")) spec.samples = samples;
  const std::vector<std::string> formats = {"text", "jsonl", "csv", "tsv", "ids"};
  if (!spec.format.empty() &&
      std::find(formats.begin(), formats.end(), spec.format) == formats.end())
    throw bad_input("unknown format '" + spec.format + "'", "--format",
                    suggest(spec.format, formats));
  spec.where = "--data";
  if (!data.empty()) {
    if (!fs::exists(data)) throw bad_input("no such file or directory", data);
    spec.path = fs::absolute(data);
  }
  if (defaults.shots < 0 || defaults.shots > 1000)
    throw bad_input("--shots must be between 0 and 1000", "--shots");
  request.shots = defaults.shots;
  for (const auto& word : tasks) request.tasks.push_back(parse_task(word, spec));
  request.data = spec;
  if (!output.empty()) {
    check_report_directory(output);
    request.cache = fs::path(output) / ".cache" / "eval";
  }
  if (parsed.values.count("reference-top-k")) {
    if (defaults.reference_top_k < 1)
      throw bad_input("--reference-top-k must be at least 1", "--reference-top-k");
    if (reference_cache.empty() && output.empty())
      throw bad_input("there is no place to keep distributions in", "--reference-top-k",
                      "add --reference-cache DIR, or --output DIR");
    request.reference_top_k = defaults.reference_top_k;
    request.distributions = reference_cache.empty() ? fs::path(output) / ".cache" / "distributions"
                                                    : fs::path(reference_cache);
  } else if (!reference_cache.empty()) {
    throw bad_input("--reference-cache goes with --reference-top-k", "--reference-cache");
  }

  const auto before = baseline.empty() ? std::nullopt : std::optional(read_report(baseline));
  RunReport report = report_of(request);
  auto result = eval::evaluate(request);
  report.evaluation = std::move(result.rows);
  report.notes = std::move(result.notes);
  bool worse = false;
  if (before) {
    const auto comparison = eval::compare_with_baseline(report.evaluation, *before);
    const auto tell = [&](const std::string& note) {
      say(note);
      report.notes.push_back(note);
    };
    for (const auto& line : comparison.regressions) tell("worse than the baseline: " + line);
    for (const auto& line : comparison.unjudged) tell("not judged against the baseline: " + line);
    worse = !comparison.regressions.empty();
  }
  if (!output.empty()) write_report(report, output);
  if (parsed.json)
    fmt::print("{}\n",
               to_json(report).dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
  else
    fmt::print("{}", render_summary(report));
  if (!output.empty() && !parsed.json)
    fmt::print("{}\n", (fs::path(output) / "report.html").string());
  return static_cast<int>(worse ? ExitCode::gate : ExitCode::ok);
}

}  // namespace

Command eval_command() {
  return {
      "eval", "MODEL… --data FILE [options]",
      "measures models: perplexity, KL, tasks, size, speed, memory",
      "attar eval ./student --data held-out.txt\n"
      "attar eval teacher=./big ./student ./student-int4 --reference teacher --data held.jsonl "
      "--output report\n"
      "attar eval ./student --metrics size,speed,memory\n"
      "attar eval ./router ./router-int8 --reference ./router --data test.csv --label category\n"
      "attar eval ./student --task arc_easy.jsonl --task lambada=passages.txt --shots 5\n"
      "attar eval ./student --data held.txt --baseline runs/last-week\n"
      "attar eval ./student --data ids.safetensors --window 512 --metrics perplexity --json",
      run};
}

}  // namespace attar::cli
