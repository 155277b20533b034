#include "eval/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/hash.h"
#include "compress/base/nearest.h"
#include "compress/base/progress.h"
#include "compress/base/threads.h"
#include "compress/kernels/matmul.h"
#include "compress/pipeline/cache.h"
#include "eval/row_cache.h"
#include "eval/subject.h"

namespace attar::eval {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kFewWindows = 20;

/// What of the table was asked for.
struct Choice {
  std::vector<const Metric*> metrics;                   // in the table's order
  std::map<const Metric*, std::set<std::string>> rows;  // of those that were named by rows

  bool needs_tokens() const {
    return std::any_of(metrics.begin(), metrics.end(), [](const Metric* m) {
      return m->needs == Needs::tokens || m->needs == Needs::reference;
    });
  }
  bool wants(const Metric& metric, const std::string& row) const {
    const auto only = rows.find(&metric);
    return only == rows.end() || only->second.contains(row);
  }
};

Choice choose(const EvaluationRequest& request) {
  Choice choice;
  std::set<const Metric*> chosen, whole;
  for (const auto& name : request.metrics) {
    const Metric* metric = find_metric(name);
    if (!metric) {
      std::vector<std::string> known;
      for (const auto& m : metrics()) known.emplace_back(m.name);
      for (const auto& m : metrics()) known.insert(known.end(), m.rows.begin(), m.rows.end());
      throw bad_input("unknown metric '" + name + "'", "metrics", suggest(name, known));
    }
    if (metric->relative() && !request.reference)
      throw bad_input("the metric '" + name + "' needs a reference model", "metrics",
                      "name one with --reference, or with reference: in a recipe");
    chosen.insert(metric);
    if (metric->name == name)
      whole.insert(metric);
    else
      choice.rows[metric].insert(name);
  }
  for (const auto& metric : metrics()) {
    const bool applies = request.metrics.empty() ? !metric.relative() || request.reference
                                                 : chosen.contains(&metric);
    if (applies) choice.metrics.push_back(&metric);
    if (whole.contains(&metric)) choice.rows.erase(&metric);
  }
  return choice;
}

uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("MemAvailable:")) return std::stoull(line.substr(13)) * 1024;
  return 0;
}

bool is_ids(const DataSpec& data) {
  return data.format == "ids" || (data.format.empty() && data.path.extension() == ".safetensors");
}

void require_distinct_names(const std::vector<EvaluationModel>& models) {
  std::set<std::string> names;
  for (const auto& model : models)
    if (!names.insert(model.name).second)
      throw bad_input("two models are named '" + model.name + "'", model.directory.string(),
                      "give each its own name: name=path");
}

class Evaluation {
 public:
  explicit Evaluation(const EvaluationRequest& request)
      : request_(request),
        choice_(choose(request)),
        cache_(request.cache.empty() ? fs::path() : request.cache / "rows"),
        hashes_(request.cache.empty() ? fs::path() : request.cache / "hashes.json") {
    require_distinct_names(request.models);
    const bool text = choice_.needs_tokens() && !is_ids(request.data);
    for (const auto& model : request.models) subjects_.push_back(open_subject(model, text));
    rows_.resize(subjects_.size());
    if (choice_.needs_tokens()) {
      if (request.reference) open_reference(text);
      open_windows();
    }
  }

  std::vector<EvaluationRow> run() {
    for (size_t s = 0; s < subjects_.size(); ++s) measure_files(s);
    if (choice_.needs_tokens()) measure_tokens();
    for (size_t s = 0; s < subjects_.size(); ++s) measure_speed_and_memory(s);
    if (cache_.enabled()) hashes_.save();
    return assembled();
  }

 private:
  void open_reference(bool text) {
    reference_ = open_subject(*request_.reference, text);
    for (const auto& subject : subjects_) require_comparable(subject, *reference_);
  }

  /// Windows of every subject; models that share tokenizer and vocabulary share them.
  void open_windows() {
    int64_t window = request_.window.value_or(2048);
    std::vector<const Subject*> all;
    for (const auto& subject : subjects_) all.push_back(&subject);
    if (reference_) all.push_back(&*reference_);
    if (!request_.window)
      for (const auto* subject : all) window = std::min(window, subject->model.spec.max_positions);
    for (const auto& subject : subjects_) {
      TokenWindows& windows = windows_[windows_key(subject)];
      if (windows.count() == 0)
        windows = evaluation_windows(request_.data, subject.tokenizer.get(), window,
                                     subject.model.spec.vocab, request_.seed);
      if (windows.window < 2)
        throw bad_input("a window of one id predicts nothing", request_.data.path.string());
    }
    for (const auto& [key, windows] : windows_) {
      for (const auto* subject : all)
        if (windows.window > subject->model.spec.max_positions)
          throw bad_input(
              fmt::format("windows of {} ids are longer than the {} positions of '{}'",
                          windows.window, subject->model.spec.max_positions, subject->name),
              request_.data.path.string(), "choose a smaller --window");
      if (windows.count() < kFewWindows)
        say(fmt::format("only {} predictions in {} windows: intervals will be {}",
                        windows.count() * (windows.window - 1), windows.count(),
                        windows.count() == 1 ? "missing" : "wide"));
    }
  }

  std::string windows_key(const Subject& subject) const {
    // Ready-made ids are the same for every tokenizer.
    const bool ids = is_ids(request_.data);
    return fmt::format("{} {}", ids ? "" : subject.tokenizer_note, subject.model.spec.vocab);
  }
  const TokenWindows& windows_of(const Subject& subject) const {
    return windows_.at(windows_key(subject));
  }

  MetricInput input_of(const Subject& subject) const {
    MetricInput input;
    input.model = subject.name;
    input.size = subject.size;
    if (reference_) input.reference = reference_->name;
    return input;
  }

  void measure_files(size_t s) {
    for (const auto* metric : choice_.metrics)
      if (metric->needs == Needs::files) metric->measure(input_of(subjects_[s]), rows_[s][metric]);
  }

  std::string model_hash(const Subject& subject) {
    return hashes_.of(model_files(subject.model.path), subject.model.path);
  }

  /// Names everything that decides a metric's rows.
  std::string key_of(const Subject& subject, const Metric& metric) {
    if (!cache_.enabled()) return "";
    Json key = {{"attar", ATTAR_VERSION}, {"metric", metric.name}, {"model", model_hash(subject)}};
    if (metric.needs == Needs::measurement) {
      key["host"] = describe_host();
    } else {
      const DataFacts& facts = windows_of(subject).facts;
      key["data"] = {facts.sha256, facts.window, facts.windows, facts.dropped_tokens};
      key["seed"] = request_.seed;
      if (reference_) key["reference"] = model_hash(*reference_);
    }
    return sha256(key.dump());
  }

  /// Takes a metric's rows from the cache, under this evaluation's names.
  bool restore(size_t s, const Metric& metric) {
    if (!cache_.enabled()) return false;
    auto rows = cache_.find(key_of(subjects_[s], metric));
    if (!rows) return false;
    for (auto& row : *rows) {
      row.model = subjects_[s].name;
      if (!row.reference.empty()) row.reference = reference_->name;
      if (row.details.is_object() && row.details.contains("paired"))
        row.details["paired"]["reference"] = reference_->name;
    }
    rows_[s][&metric] = std::move(*rows);
    return true;
  }

  bool restore_all(size_t s, bool (*concerns)(const Metric&)) {
    bool all = true;
    for (const auto* metric : choice_.metrics)
      if (concerns(*metric) && !restore(s, *metric)) all = false;
    return all;
  }

  static bool over_tokens(const Metric& metric) {
    return metric.needs == Needs::tokens || metric.needs == Needs::reference;
  }

  void measure_tokens() {
    std::vector<size_t> left;
    for (size_t s = 0; s < subjects_.size(); ++s)
      if (!restore_all(s, over_tokens)) left.push_back(s);
    while (!left.empty()) {
      const auto group = next_group(left);
      measure_group(group);
      std::erase_if(
          left, [&](size_t s) { return std::find(group.begin(), group.end(), s) != group.end(); });
    }
  }

  /// Models that share windows and fit into half of the free memory, beside the reference; one at
  /// least.
  std::vector<size_t> next_group(const std::vector<size_t>& left) const {
    const uint64_t budget = available_memory() / 2;
    uint64_t used = reference_ ? reference_->memory_estimate() : 0;
    std::vector<size_t> group;
    for (const size_t s : left) {
      if (windows_key(subjects_[s]) != windows_key(subjects_[left[0]])) continue;
      used += is_reference(s) ? 0 : subjects_[s].memory_estimate();
      if (!group.empty() && used > budget) break;
      group.push_back(s);
    }
    return group;
  }

  bool is_reference(size_t s) const {
    return reference_ && fs::equivalent(subjects_[s].model.path, reference_->model.path);
  }

  void measure_group(const std::vector<size_t>& group) {
    const TokenWindows& windows = windows_of(subjects_[group[0]]);
    std::vector<Runner> runners;
    if (reference_) runners.push_back({reference_->name, RuntimeModel::load(reference_->model)});
    std::vector<size_t> runner_of;
    for (const size_t s : group) {
      runner_of.push_back(is_reference(s) ? 0 : runners.size());
      if (!is_reference(s))
        runners.push_back({subjects_[s].name, RuntimeModel::load(subjects_[s].model)});
    }
    const auto scores = score_windows(windows, runners, reference_.has_value());
    runners.clear();
    const Bootstrap bootstrap(windows.count(), request_.seed);
    for (size_t i = 0; i < group.size(); ++i) {
      MetricInput input = input_of(subjects_[group[i]]);
      input.scores = &scores[runner_of[i]];
      if (reference_) input.reference_scores = &scores[0];
      input.bootstrap = &bootstrap;
      input.token_details = token_details(subjects_[group[i]], windows);
      for (const auto* metric : choice_.metrics)
        if (over_tokens(*metric)) finish(group[i], *metric, input);
    }
  }

  void finish(size_t s, const Metric& metric, const MetricInput& input) {
    auto& rows = rows_[s][&metric];
    rows.clear();
    metric.measure(input, rows);
    cache_.store(key_of(subjects_[s], metric), rows);
  }

  Json token_details(const Subject& subject, const TokenWindows& windows) const {
    const DataFacts& facts = windows.facts;
    return {{"window", facts.window},
            {"windows", facts.windows},
            {"dropped_tokens", facts.dropped_tokens},
            {"bos_added", facts.bos_added},
            {"tokenizer", subject.tokenizer_note},
            {"data", facts.source},
            {"data_sha256", facts.sha256},
            {"activations", "float32"},
            {"kernel", kernel_name()},
            {"resamples", Bootstrap::kResamples},
            {"seed", request_.seed}};
  }

  void measure_speed_and_memory(size_t s) {
    const auto measured = [](const Metric& metric) { return metric.needs == Needs::measurement; };
    const bool wanted = std::any_of(choice_.metrics.begin(), choice_.metrics.end(),
                                    [&](const Metric* metric) { return measured(*metric); });
    if (!wanted || restore_all(s, measured)) return;
    say("measuring speed and memory of " + subjects_[s].name);
    const Measurement measurement =
        measure_model(subjects_[s].model.path, subjects_[s].model.spec.max_positions);
    MetricInput input = input_of(subjects_[s]);
    input.measurement = &measurement;
    for (const auto* metric : choice_.metrics)
      if (measured(*metric)) finish(s, *metric, input);
  }

  std::vector<EvaluationRow> assembled() const {
    std::vector<EvaluationRow> all;
    for (const auto& of_subject : rows_)
      for (const auto* metric : choice_.metrics)
        for (const auto& row : of_subject.at(metric))
          if (choice_.wants(*metric, row.metric)) all.push_back(row);
    return all;
  }

  const EvaluationRequest& request_;
  Choice choice_;
  RowCache cache_;
  FileHashes hashes_;
  std::vector<Subject> subjects_;
  std::optional<Subject> reference_;
  std::map<std::string, TokenWindows> windows_;                            // by windows_key
  std::vector<std::map<const Metric*, std::vector<EvaluationRow>>> rows_;  // by subject
};

}  // namespace

std::vector<EvaluationRow> evaluate(const EvaluationRequest& request) {
  return Evaluation(request).run();
}

bool needs_data(const EvaluationRequest& request) {
  return choose(request).needs_tokens();
}

}  // namespace attar::eval
