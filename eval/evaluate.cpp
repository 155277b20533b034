#include "eval/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "compress/base/error.h"
#include "compress/base/hash.h"
#include "compress/base/progress.h"
#include "compress/pipeline/cache.h"
#include "eval/encoders.h"
#include "eval/group.h"
#include "eval/material.h"
#include "eval/row_cache.h"

namespace attar::eval {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kFewUnits = 20;

uint64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("MemAvailable:")) return std::stoull(line.substr(13)) * 1024;
  return 0;
}

/// One metric's rows, of a task where it is over tasks.
struct Part {
  const Metric* metric;
  size_t task = 0;
  bool operator<(const Part& other) const {
    return std::pair(metric, task) < std::pair(other.metric, other.task);
  }
};

class Evaluation {
 public:
  explicit Evaluation(const EvaluationRequest& request)
      : request_(request),
        choice_(choose(request)),
        cache_(request.cache.empty() ? fs::path() : request.cache / "rows"),
        hashes_(request.cache.empty() ? fs::path() : request.cache / "hashes.json") {
    require_distinct_names(request.models, "models");
    require_distinct_names(request.tasks, "tasks");
    const bool text = reads_text();
    for (const auto& model : request.models) subjects_.push_back(open_subject(model, text));
    rows_.resize(subjects_.size());
    for (const auto* metric : choice_.metrics)
      for (size_t t = 0; t < (metric->needs == Needs::task ? request.tasks.size() : 1); ++t)
        parts_.push_back({metric, t});
    if (!choice_.reads_ids()) return;
    if (request.reference) open_reference(text);
    if (choice_.needs(Needs::task))
      for (const auto& task : request.tasks)
        tasks_.push_back(
            std::make_shared<const LoadedTask>(load_task(task, request.shots, request.seed)));
    prepare();
  }

  EvaluationResult run() {
    for (size_t s = 0; s < subjects_.size(); ++s)
      for (const auto& part : parts_)
        if (part.metric->needs == Needs::files)
          part.metric->measure(input_of(subjects_[s]), rows_[s][part]);
    if (choice_.reads_ids()) measure_groups();
    for (size_t s = 0; s < subjects_.size(); ++s) measure_speed_and_memory(s);
    if (cache_.enabled()) hashes_.save();
    return {assembled(), notes_};
  }

 private:
  bool reads_text() const {
    return choice_.needs(Needs::task) || choice_.needs(Needs::documents) ||
           (choice_.reads_ids() && !is_ids(request_.data));
  }

  bool measures(std::string_view metric) const {
    return std::any_of(parts_.begin(), parts_.end(),
                       [&](const Part& part) { return part.metric->name == metric; });
  }

  void note(std::string text) {
    say(text);
    notes_.push_back(std::move(text));
  }

  void open_reference(bool text) {
    reference_ = open_subject(*request_.reference, text);
    for (const auto& subject : subjects_) require_comparable(subject, *reference_);
  }

  /// Models that share tokenizer and vocabulary share their material. Ready-made ids are the same
  /// for every tokenizer.
  std::string key_of(const Subject& subject) const {
    return fmt::format("{} {}", reads_text() ? subject.tokenizer_note : "",
                       subject.model.spec.vocab);
  }
  const Material& material_of(size_t s) const { return materials_.at(key_of(subjects_[s])); }

  void prepare() {
    int64_t positions =
        reference_ ? reference_->model.spec.max_positions : subjects_[0].model.spec.max_positions;
    for (const auto& subject : subjects_) {
      positions = std::min(positions, subject.model.spec.max_positions);
      if (measures("distortion") && !alike(subject.model.spec, reference_->model.spec))
        note(fmt::format("no error by block for '{}': its shape is not that of the reference '{}'",
                         subject.name, reference_->name));
    }
    for (const auto& subject : subjects_) {
      const std::string key = key_of(subject);
      if (materials_.contains(key)) continue;
      const auto& made = materials_[key] =
          prepare_material(request_, choice_, tasks_, subject, positions);
      for (const Scorable* set : {&made.windows, &made.chunks, &made.documents})
        tell_if_few(set->sequences);
      for (const auto& task : made.tasks) {
        tell_if_few(task.sequences);
        if (task.truncated > 0)
          note(fmt::format("{}: {} of {} prompts lost their beginning, {} ids fit", task.task->name,
                           task.truncated, task.task->examples.size(),
                           request_.window.value_or(positions)));
      }
    }
    if (reference_ && reads_text()) require_reference_ids(positions);
  }

  /// Tokenizers that differ in how they are written down may still give the same ids.
  void require_reference_ids(int64_t positions) {
    for (const auto& subject : subjects_) {
      if (key_of(subject) == key_of(*reference_)) continue;
      if (!materials_.contains(key_of(*reference_)))
        materials_[key_of(*reference_)] =
            prepare_material(request_, choice_, tasks_, *reference_, positions);
      require_same_ids(materials_.at(key_of(subject)), materials_.at(key_of(*reference_)), subject,
                       reference_->name);
      note(
          fmt::format("the tokenizers of '{}' and the reference '{}' are written down differently; "
                      "both turn this text into the same ids",
                      subject.name, reference_->name));
    }
  }

  void tell_if_few(const Sequences& set) {
    if (set.units() == 0 || set.units() >= kFewUnits) return;
    note(fmt::format("only {} predictions in {} {}{}: intervals are {}", set.count(), set.units(),
                     set.unit, set.units() == 1 ? "" : "s", set.units() == 1 ? "missing" : "wide"));
  }

  MetricInput input_of(const Subject& subject) const {
    return eval::input_of(subject, reference_ ? &*reference_ : nullptr);
  }

  // The cache of finished rows.

  std::string model_hash(const Subject& subject) {
    const std::string hash = hashes_.of(model_files(subject.model.path), subject.model.path);
    if (subject.adapter.empty()) return hash;
    return hash + hashes_.of(model_files(subject.adapter), subject.adapter);
  }

  /// Names everything that decides a part's rows.
  std::string cache_key(size_t s, const Part& part) {
    if (!cache_.enabled()) return "";
    Json key = {{"attar", ATTAR_VERSION},
                {"metric", part.metric->name},
                {"model", model_hash(subjects_[s])}};
    if (part.metric->needs == Needs::measurement) {
      key["host"] = describe_host();
      key["activations"] = to_string(request_.activations);
    } else {
      key["data"] = material_of(s).identity(*part.metric, part.task);
      if (reference_) key["reference"] = model_hash(*reference_);
      if (request_.reference_top_k > 0) key["reference_top_k"] = request_.reference_top_k;
    }
    return sha256(key.dump());
  }

  /// Takes a part's rows from the cache, under this evaluation's names.
  bool restore(size_t s, const Part& part) {
    if (!cache_.enabled()) return false;
    auto rows = cache_.find(cache_key(s, part));
    if (!rows) return false;
    for (auto& row : *rows) {
      row.model = subjects_[s].name;
      if (!row.reference.empty()) row.reference = reference_->name;
      if (part.metric->needs == Needs::task) row.protocol = tasks_[part.task]->name;
      if (row.details.is_object() && row.details.contains("paired"))
        row.details["paired"]["reference"] = reference_->name;
    }
    rows_[s][part] = std::move(*rows);
    return true;
  }

  void finish(size_t s, const Part& part, const MetricInput& input) {
    auto& rows = rows_[s][part];
    rows.clear();
    part.metric->measure(input, rows);
    cache_.store(cache_key(s, part), rows);
  }

  // Groups of models over ids.

  void measure_groups() {
    std::vector<size_t> left;
    for (size_t s = 0; s < subjects_.size(); ++s) {
      bool complete = true;
      for (const auto& part : parts_)
        if (over_ids(part.metric->needs) && !restore(s, part)) complete = false;
      if (!complete) left.push_back(s);
    }
    while (!left.empty()) {
      const auto group = next_group(left);
      measure_together(group);
      std::erase_if(
          left, [&](size_t s) { return std::find(group.begin(), group.end(), s) != group.end(); });
    }
  }

  /// Models that share material and fit into half of the free memory, beside the reference; one at
  /// least.
  std::vector<size_t> next_group(const std::vector<size_t>& left) const {
    const uint64_t budget = available_memory() / 2;
    uint64_t used = reference_ ? reference_->memory_estimate() : 0;
    std::vector<size_t> group;
    for (const size_t s : left) {
      if (key_of(subjects_[s]) != key_of(subjects_[left[0]])) continue;
      used += is_reference(s) ? 0 : subjects_[s].memory_estimate();
      if (!group.empty() && used > budget) break;
      group.push_back(s);
    }
    return group;
  }

  bool is_reference(size_t s) const {
    return reference_ && stands_for(subjects_[s], *reference_, request_.activations);
  }

  void measure_together(const std::vector<size_t>& group) {
    Group plan{request_, material_of(group[0])};
    for (const size_t s : group) plan.members.push_back(&subjects_[s]);
    if (reference_) plan.reference = &*reference_;
    if (cache_.enabled() || request_.reference_top_k > 0) {
      for (const size_t s : group) plan.hashes.push_back(model_hash(subjects_[s]));
      if (reference_) plan.hashes.push_back(model_hash(*reference_));
    }
    plan.deviations = measures("distortion");
    plan.due = [&](Needs needs, size_t task) {
      for (const auto& part : parts_)
        if (part.metric->needs == needs && part.task == task)
          for (const size_t s : group)
            if (!rows_[s].contains(part)) return true;
      return false;
    };
    plan.finish = [&](Needs needs, size_t task, size_t member, const MetricInput& input) {
      const size_t s = group[member];
      for (const auto& part : parts_)
        if (part.metric->needs == needs && part.task == task && !rows_[s].contains(part))
          finish(s, part, input);
    };
    measure_group(plan);
  }

  void measure_speed_and_memory(size_t s) {
    bool complete = true;
    for (const auto& part : parts_)
      if (part.metric->needs == Needs::measurement && !restore(s, part)) complete = false;
    if (complete) return;
    say("measuring speed and memory of " + subjects_[s].name);
    const Measurement measurement =
        measure_model(subjects_[s].model.path, subjects_[s].adapter,
                      subjects_[s].model.spec.max_positions, request_.activations);
    MetricInput input = input_of(subjects_[s]);
    input.measurement = &measurement;
    for (const auto& part : parts_)
      if (part.metric->needs == Needs::measurement) finish(s, part, input);
  }

  std::vector<EvaluationRow> assembled() const {
    std::vector<EvaluationRow> all;
    for (const auto& of_subject : rows_)
      for (const auto& part : parts_)
        for (const auto& row : of_subject.at(part))
          if (choice_.wants(*part.metric, row.metric)) all.push_back(row);
    return all;
  }

  const EvaluationRequest& request_;
  Choice choice_;
  RowCache cache_;
  FileHashes hashes_;
  std::vector<Part> parts_;  // in the order of a report
  std::vector<Subject> subjects_;
  std::optional<Subject> reference_;
  std::vector<std::shared_ptr<const LoadedTask>> tasks_;
  std::map<std::string, Material> materials_;                     // by key_of
  std::vector<std::map<Part, std::vector<EvaluationRow>>> rows_;  // by subject
  std::vector<std::string> notes_;
};

}  // namespace

EvaluationResult evaluate(const EvaluationRequest& request) {
  if (about_encoders(request)) return evaluate_encoders(request);
  return Evaluation(request).run();
}

}  // namespace attar::eval
