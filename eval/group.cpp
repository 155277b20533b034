#include "eval/group.h"

#include <optional>

#include "compress/base/hash.h"
#include "compress/runtime/end_ids.h"
#include "eval/score_checkpoint.h"

namespace attar::eval {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kSampleIds = 48;

class GroupRun {
 public:
  explicit GroupRun(const Group& group) : group_(group), request_(group.request) {
    if (request_.reference_top_k > 0 && group.reference)
      kept_.emplace(request_.distributions,
                    DistributionKey{group.hashes.back(), group.reference->model.spec.vocab,
                                    request_.reference_top_k, DistributionStore::kTemperature});
  }

  void run() {
    load();
    const Material& material = group_.material;
    measure_scored(Needs::windows, material.windows, "gptq");
    measure_scored(Needs::chunks, material.chunks, "llama_cpp");
    measure_scored(Needs::documents, material.documents, "lm_eval");
    for (size_t t = 0; t < material.tasks.size(); ++t) measure_task(material.tasks[t], t);
    measure_prompts();
  }

 private:
  bool due(Needs needs, size_t task = 0) const { return group_.due(needs, task); }

  void load() {
    if (group_.reference)
      runners_.push_back({group_.reference->name,
                          reference_runs()
                              ? RuntimeModel::load(group_.reference->model,
                                                   group_.reference->runtime(Activations::exact))
                              : nullptr});
    for (const Subject* member : group_.members) {
      const bool is_reference =
          group_.reference && stands_for(*member, *group_.reference, request_.activations);
      runner_of_.push_back(is_reference ? 0 : runners_.size());
      if (!is_reference)
        runners_.push_back(
            {member->name,
             RuntimeModel::load(member->model, member->runtime(request_.activations))});
    }
  }

  /// Whether the reference has to be run: it writes something, or not all its scores are kept.
  bool reference_runs() const {
    const Material& material = group_.material;
    if (!kept_ || due(Needs::prompts)) return true;
    const auto missing = [&](Needs needs, size_t task, const Sequences& set) {
      return due(needs, task) && !kept_->has_all(predicted(set));
    };
    for (size_t t = 0; t < material.tasks.size(); ++t) {
      const EncodedTask& task = material.tasks[t];
      if (task.task->kind == TaskKind::exact_match && due(Needs::task, t)) return true;
      if (missing(Needs::task, t, task.sequences)) return true;
    }
    return missing(Needs::windows, 0, material.windows.sequences) ||
           missing(Needs::chunks, 0, material.chunks.sequences) ||
           missing(Needs::documents, 0, material.documents.sequences);
  }

  /// Gives each member's input to its metrics; `complete` adds what they look at, given the
  /// member's runner.
  template <class Complete>
  void finish(Needs needs, size_t task, const Complete& complete) {
    for (size_t i = 0; i < group_.members.size(); ++i) {
      MetricInput input = input_of(*group_.members[i], group_.reference);
      complete(runner_of_[i], input);
      input.scored.details["activations"] =
          activations_of(group_.members[i]->model, request_.activations);
      group_.finish(needs, task, i, input);
    }
  }

  /// Scores of all runners over a set; `details` say what the set is.
  std::vector<TokenScores> scores_of(const Sequences& set, const Json& details, Needs needs,
                                     std::optional<ScoreCheckpoint>& checkpoint) {
    ScoringOptions options;
    options.first_is_reference = group_.reference != nullptr;
    options.divergences = options.first_is_reference && needs == Needs::windows;
    options.deviations = options.divergences && group_.deviations;
    options.kept = kept_ ? &*kept_ : nullptr;
    if (!request_.cache.empty()) {
      const std::string key = sha256(Json{
          {"attar", ATTAR_VERSION},
          {"models", group_.hashes},
          {"set", details},
          {"activations", to_string(request_.activations)},
          {"reference", options.first_is_reference},
          {"deviations", options.deviations},
          {"reference_top_k",
           request_.reference_top_k}}.dump());
      checkpoint.emplace(request_.cache / "unfinished" / (key + ".safetensors"), key);
      options.checkpoint = &*checkpoint;
    }
    return score(set, runners_, options);
  }

  void measure_scored(Needs needs, const Scorable& set, const char* protocol) {
    if (!due(needs, 0)) return;
    std::optional<ScoreCheckpoint> checkpoint;
    const auto scores = scores_of(set.sequences, set.details, needs, checkpoint);
    const Bootstrap bootstrap(set.sequences.units(), request_.seed);
    Json details = set.details;
    if (kept_ && needs == Needs::windows) {
      details["reference_top_k"] = kept_->key().k;
      details["reference_coverage"] = kept_->mean_coverage(predicted(set.sequences));
      details["reference_kept"] = "ids beyond the top k count as one event: KL is a lower bound";
    }
    finish(needs, 0, [&](size_t runner, MetricInput& input) {
      input.scored = {&scores[runner], group_.reference ? &scores[0] : nullptr, &bootstrap,
                      protocol, details};
      input.documents = &group_.material.document_sizes;
    });
    if (checkpoint) checkpoint->remove();
  }

  void measure_task(const EncodedTask& encoded, size_t t) {
    if (!due(Needs::task, t)) return;
    std::vector<TaskResult> results;
    std::optional<ScoreCheckpoint> checkpoint;
    if (encoded.task->kind == TaskKind::exact_match) {
      for (size_t r = 0; r < runners_.size(); ++r) results.push_back(write_answers(encoded, r));
    } else {
      for (const auto& scores :
           scores_of(encoded.sequences, encoded.details, Needs::task, checkpoint))
        results.push_back(judge_scores(encoded, scores));
    }
    const Bootstrap bootstrap(std::ssize(encoded.task->examples), request_.seed);
    finish(Needs::task, t, [&](size_t runner, MetricInput& input) {
      input.scored = {nullptr, nullptr, &bootstrap, encoded.task->name, encoded.details};
      input.answers = &results[runner];
      input.reference_answers = group_.reference ? &results[0] : nullptr;
    });
    if (checkpoint) checkpoint->remove();
  }

  const Subject& subject_of(size_t runner) const {
    for (size_t i = 0; i < group_.members.size(); ++i)
      if (runner_of_[i] == runner) return *group_.members[i];
    return *group_.reference;
  }

  TaskResult write_answers(const EncodedTask& encoded, size_t runner) {
    const Subject& subject = subject_of(runner);
    GreedyOptions options;
    options.limit = encoded.task->longest_answer;
    options.stops = encoded.task->stops;
    options.ends = end_ids(subject.model.path, subject.model.spec);
    std::vector<std::string> texts;
    for (auto& written : continue_prompts(runners_[runner], encoded.prompts,
                                          subject.tokenizer.get(), options, encoded.task->name))
      texts.push_back(std::move(written.text));
    return judge_texts(encoded, texts);
  }

  void measure_prompts() {
    if (!due(Needs::prompts)) return;
    const Material& material = group_.material;
    std::vector<Continuations> written;
    for (size_t r = 0; r < runners_.size(); ++r) {
      const Subject& subject = subject_of(r);
      GreedyOptions options;
      options.limit = kSampleIds;
      options.ends = end_ids(subject.model.path, subject.model.spec);
      written.push_back({material.prompts, material.prompt_texts,
                         continue_prompts(runners_[r], material.prompts, subject.tokenizer.get(),
                                          options, "samples")});
    }
    const Bootstrap bootstrap(std::ssize(material.prompts), request_.seed);
    const Json details = {{"limit", kSampleIds}, {"decoding", "greedy"}};
    finish(Needs::prompts, 0, [&](size_t runner, MetricInput& input) {
      input.scored = {nullptr, nullptr, &bootstrap, "greedy", details};
      input.continuations = &written[runner];
      input.reference_continuations = group_.reference ? &written[0] : nullptr;
    });
  }

  const Group& group_;
  const EvaluationRequest& request_;
  std::optional<DistributionStore> kept_;
  std::vector<Runner> runners_;    // the reference first, if there is one
  std::vector<size_t> runner_of_;  // of each member
};

}  // namespace

void measure_group(const Group& group) {
  GroupRun(group).run();
}

bool stands_for(const Subject& model, const Subject& reference, Activations activations) {
  return activations == Activations::exact &&
         std::filesystem::equivalent(model.model.path, reference.model.path) &&
         model.adapter == reference.adapter;
}

MetricInput input_of(const Subject& model, const Subject* reference) {
  MetricInput input;
  input.model = model.name;
  input.size = model.size;
  if (reference) input.reference = reference->name;
  return input;
}

}  // namespace attar::eval
