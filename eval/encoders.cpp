#include "eval/encoders.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "compress/base/error.h"
#include "compress/base/hash.h"
#include "compress/base/progress.h"
#include "compress/kernels/matmul.h"
#include "compress/pipeline/cache.h"
#include "eval/choice.h"
#include "eval/encoder_results.h"
#include "eval/row_cache.h"
#include "eval/subject.h"

namespace attar::eval {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kFewTexts = 20;

class EncoderEvaluation {
 public:
  explicit EncoderEvaluation(const EvaluationRequest& request)
      : request_(request),
        cache_(request.cache.empty() ? fs::path() : request.cache / "rows"),
        hashes_(request.cache.empty() ? fs::path() : request.cache / "hashes.json") {
    require_distinct_names(request.models, "models");
    if (!request.tasks.empty())
      throw bad_input("tasks are for models that write text", "--task",
                      "name labelled texts with --data");
    const bool texts = reads_texts(request);
    for (const auto& model : request.models) subjects_.push_back(open_subject(model, texts));
    if (request.reference) reference_ = open_subject(*request.reference, texts);
    for (const Subject& subject : subjects_) require_alike(subject);
    if (texts && !request.data.path.empty()) set_ = load_set(request.data, request.seed);
    choose();
    rows_.resize(subjects_.size());
  }

  EvaluationResult run() {
    for (size_t s = 0; s < subjects_.size(); ++s)
      for (const Metric* metric : metrics_)
        if (metric->needs == Needs::files)
          metric->measure(input_of(subjects_[s]), rows_[s][metric]);
    measure_texts();
    for (size_t s = 0; s < subjects_.size(); ++s) measure_speed_and_memory(s);
    if (cache_.enabled()) hashes_.save();
    return {assembled(), notes_};
  }

 private:
  attar::Task task() const { return subjects_[0].model.spec.task; }

  /// Size and speed need no text, and so no tokenizer.
  static bool reads_texts(const EvaluationRequest& request) {
    const auto over = [](const Metric* metric) { return over_texts(metric->needs); };
    return request.metrics.empty() ||
           std::any_of(request.metrics.begin(), request.metrics.end(), [&](const auto& name) {
             const auto found = find_metrics(name);
             return std::any_of(found.begin(), found.end(), over);
           });
  }

  void require_alike(const Subject& subject) const {
    const std::string where = subject.model.path.string();
    if (subject.model.spec.task != task() || (reference_ && reference_->model.spec.task != task()))
      throw bad_input("classifiers and embedders cannot be measured together", where,
                      "evaluate them in two calls");
    if (reference_ && task() == attar::Task::classify &&
        subject.model.spec.labels != reference_->model.spec.labels)
      throw bad_input(fmt::format("'{}' and the reference '{}' have different labels", subject.name,
                                  reference_->name),
                      where, "choose a reference with the same id2label");
  }

  /// What the request lacks for a metric; "" when nothing.
  std::string lack(const Metric& metric) const {
    if (metric.needs == Needs::files || metric.needs == Needs::measurement) return "";
    if (!over_texts(metric.needs)) return "is for models that write text";
    const bool classifier = metric.needs == Needs::classes || metric.needs == Needs::labels;
    if (classifier != (task() == attar::Task::classify))
      return classifier ? "is for classifiers" : "is for embedders";
    if (!set_) return "needs --data";
    if (metric.relative && !reference_) return "needs a reference model";
    if (metric.needs == Needs::labels && !set_->labelled) return "needs labels in the data";
    if (metric.needs == Needs::neighbours && !set_->labelled && !set_->pairs)
      return "needs labels, or pairs of texts, in the data";
    if (metric.needs == Needs::similarity && !(set_->labelled && set_->pairs))
      return "needs pairs of texts with scores in the data";
    if (metric.relative && task() == attar::Task::embed &&
        std::any_of(subjects_.begin(), subjects_.end(), [&](const Subject& subject) {
          return subject.model.spec.hidden != reference_->model.spec.hidden;
        }))
      return "needs vectors as long as the reference's";
    return "";
  }

  void choose() {
    for (const auto& name : request_.metrics) {
      const auto candidates = find_metrics(name);
      std::vector<const Metric*> fit;
      for (const Metric* metric : candidates)
        if (lack(*metric).empty()) fit.push_back(metric);
      if (candidates.empty())
        throw bad_input("unknown metric '" + name + "'", "metrics", "see `attar list metrics`");
      if (fit.empty())
        throw bad_input(fmt::format("the metric '{}' {}", name, lack(*candidates.back())),
                        "metrics");
      for (const Metric* metric : fit) {
        chosen_.insert(metric);
        if (metric->name == name)
          whole_.insert(metric);
        else
          only_[metric].insert(name);
      }
    }
    for (const Metric& metric : metrics())
      if (request_.metrics.empty() ? metric.by_default && lack(metric).empty()
                                   : chosen_.contains(&metric))
        metrics_.push_back(&metric);
    if (request_.metrics.empty() && !set_)
      throw bad_input("--data is missing", {},
                      "name a file, or metrics that need none: size,speed");
  }

  MetricInput input_of(const Subject& subject) const {
    MetricInput input;
    input.model = subject.name;
    input.size = subject.size;
    if (reference_) input.reference = reference_->name;
    return input;
  }

  std::string model_hash(const Subject& subject) {
    const std::string hash = hashes_.of(model_files(subject.model.path), subject.model.path);
    if (subject.adapter.empty()) return hash;
    return hash + hashes_.of(model_files(subject.adapter), subject.adapter);
  }

  std::string key_of(const Subject& subject, const Metric& metric) {
    if (!cache_.enabled()) return "";
    Json key = {{"attar", ATTAR_VERSION}, {"metric", metric.name}, {"model", model_hash(subject)}};
    if (metric.needs == Needs::measurement) {
      key["host"] = describe_host();
      key["activations"] = to_string(request_.activations);
    } else {
      key["data"] = {set_->sha256, describe_data(request_.data)};
      key["seed"] = request_.seed;
      key["window"] = request_.window.value_or(0);
      key["activations"] = to_string(request_.activations);
      if (reference_) key["reference"] = model_hash(*reference_);
    }
    return sha256(key.dump());
  }

  bool restore(size_t s, const Metric& metric) {
    auto rows = cache_.find(key_of(subjects_[s], metric));
    if (!rows) return false;
    for (EvaluationRow& row : *rows) {
      row.model = subjects_[s].name;
      if (!row.reference.empty()) row.reference = reference_->name;
      if (row.details.is_object() && row.details.contains("paired"))
        row.details["paired"]["reference"] = reference_->name;
    }
    rows_[s][&metric] = std::move(*rows);
    return true;
  }

  void finish(size_t s, const Metric& metric, const MetricInput& input) {
    auto& rows = rows_[s][&metric];
    rows.clear();
    metric.measure(input, rows);
    cache_.store(key_of(subjects_[s], metric), rows);
  }

  bool is_due(size_t s, bool (*concerns)(Needs)) {
    bool due = false;
    for (const Metric* metric : metrics_)
      if (concerns(metric->needs) && !(cache_.enabled() && restore(s, *metric))) due = true;
    return due;
  }

  EncoderResults run_subject(const Subject& subject, Activations activations) {
    EncoderResults results = run_encoder(subject.name, subject.model, *subject.tokenizer, *set_,
                                         request_.window, subject.runtime(activations));
    if (results.cut > 0) {
      notes_.push_back(fmt::format("{}: {} texts were cut", subject.name, results.cut));
      say(notes_.back());
    }
    return results;
  }

  void measure_texts() {
    std::vector<size_t> due;
    for (size_t s = 0; s < subjects_.size(); ++s)
      if (is_due(s, over_texts)) due.push_back(s);
    if (due.empty()) return;
    if (set_->count() < kFewTexts) {
      notes_.push_back(fmt::format("only {} texts: intervals are wide", set_->count()));
      say(notes_.back());
    }
    std::optional<EncoderResults> reference;
    if (reference_) reference = run_subject(*reference_, Activations::exact);
    const Bootstrap bootstrap(set_->count(), request_.seed);
    for (const size_t s : due) {
      const Subject& subject = subjects_[s];
      const bool same = reference_ && request_.activations == Activations::exact &&
                        subject.adapter == reference_->adapter &&
                        fs::equivalent(subject.model.path, reference_->model.path);
      const EncoderResults own = same ? *reference : run_subject(subject, request_.activations);
      MetricInput input = input_of(subject);
      input.texts = &*set_;
      input.results = &own;
      input.reference_results = reference ? &*reference : nullptr;
      input.scored.bootstrap = &bootstrap;
      input.scored.details = details_of(subject, own);
      for (const Metric* metric : metrics_)
        if (over_texts(metric->needs)) finish(s, *metric, input);
    }
  }

  Json details_of(const Subject& subject, const EncoderResults& results) const {
    Json details = {{"texts", set_->count()},
                    {"ids", results.tokens},
                    {"texts_cut", results.cut},
                    {"tokenizer", subject.tokenizer_note},
                    {"data", set_->path},
                    {"data_sha256", set_->sha256},
                    {"activations", activations_of(subject.model, request_.activations)},
                    {"kernel", kernel_name()},
                    {"resamples", Bootstrap::kResamples},
                    {"seed", request_.seed}};
    if (task() == attar::Task::classify && set_->labelled)
      details["labels_read_as"] = results.labels.by_number ? "indices" : "names";
    return details;
  }

  void measure_speed_and_memory(size_t s) {
    if (!is_due(s, [](Needs needs) { return needs == Needs::measurement; })) return;
    say("measuring speed and memory of " + subjects_[s].name);
    const Measurement measurement =
        measure_model(subjects_[s].model.path, subjects_[s].adapter,
                      subjects_[s].model.spec.max_positions, request_.activations);
    MetricInput input = input_of(subjects_[s]);
    input.measurement = &measurement;
    for (const Metric* metric : metrics_)
      if (metric->needs == Needs::measurement) finish(s, *metric, input);
  }

  std::vector<EvaluationRow> assembled() const {
    std::vector<EvaluationRow> all;
    for (const auto& of_subject : rows_)
      for (const Metric* metric : metrics_)
        for (const EvaluationRow& row : of_subject.at(metric))
          if (whole_.contains(metric) || !only_.contains(metric) ||
              only_.at(metric).contains(row.metric))
            all.push_back(row);
    return all;
  }

  const EvaluationRequest& request_;
  RowCache cache_;
  FileHashes hashes_;
  std::vector<Subject> subjects_;
  std::optional<Subject> reference_;
  std::optional<LabelledSet> set_;
  std::vector<const Metric*> metrics_;                   // in the table's order
  std::set<const Metric*> chosen_, whole_;               // named; named by their own name
  std::map<const Metric*, std::set<std::string>> only_;  // named by rows
  std::vector<std::map<const Metric*, std::vector<EvaluationRow>>> rows_;  // by subject
  std::vector<std::string> notes_;
};

}  // namespace

bool about_encoders(const EvaluationRequest& request) {
  std::vector<EvaluationModel> all = request.models;
  if (request.reference) all.push_back(*request.reference);
  size_t encoders = 0;
  for (const auto& model : all)
    encoders += open_model(model.directory).spec.task != attar::Task::causal_lm;
  if (encoders != 0 && encoders != all.size())
    throw bad_input("encoders and models that write text cannot be measured together", {},
                    "evaluate them in two calls");
  return encoders != 0;
}

EvaluationResult evaluate_encoders(const EvaluationRequest& request) {
  if (request.reference_top_k > 0)
    throw bad_input("classifiers and embedders have no next-id distributions to keep",
                    "reference_top_k", "leave it out");
  return EncoderEvaluation(request).run();
}

}  // namespace attar::eval
