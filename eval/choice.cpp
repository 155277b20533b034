#include "eval/choice.h"

#include <algorithm>

#include "compress/base/error.h"
#include "compress/base/nearest.h"

namespace attar::eval {
namespace {

bool over_data(Needs needs) {
  return over_ids(needs) && needs != Needs::task;
}

/// What the request lacks for a metric; empty `what` when nothing is.
struct Lack {
  std::string what, where, hint;
};

Lack lack_for(const Metric& metric, const std::string& name, const EvaluationRequest& request) {
  if (over_texts(metric.needs))
    return {"the metric '" + name + "' is for classifiers and embedders", "metrics",
            "these models write text"};
  if (metric.relative && !request.reference)
    return {"the metric '" + name + "' needs a reference model", "metrics",
            "name one with --reference, or with reference: in a recipe"};
  if (metric.looks_inside && request.reference_top_k > 0)
    return {"the metric '" + name + "' needs the reference's hidden states", "metrics",
            "only its distributions are kept; leave out the metric, or reference_top_k"};
  if (metric.needs == Needs::task && request.tasks.empty())
    return {"the metric '" + name + "' needs a task", "metrics",
            "name a file with --task, or with tasks: in a recipe"};
  if (over_data(metric.needs) && request.data.path.empty())
    return {"--data is missing, which the metric '" + name + "' reads", "metrics",
            "name a file, or metrics that need none: size,speed"};
  return {};
}

Error unknown(const std::string& name) {
  std::vector<std::string> known;
  const auto add = [&](std::string_view word) {
    if (std::find(known.begin(), known.end(), word) == known.end()) known.emplace_back(word);
  };
  for (const auto& m : metrics()) add(m.name);
  for (const auto& m : metrics()) std::for_each(m.rows.begin(), m.rows.end(), add);
  return bad_input("unknown metric '" + name + "'", "metrics", suggest(name, known));
}

}  // namespace

bool over_ids(Needs needs) {
  return needs != Needs::files && needs != Needs::measurement && !over_texts(needs);
}

bool over_texts(Needs needs) {
  return needs == Needs::labels || needs == Needs::classes || needs == Needs::neighbours ||
         needs == Needs::similarity || needs == Needs::vectors;
}

bool Choice::needs(Needs material) const {
  return std::any_of(metrics.begin(), metrics.end(),
                     [&](const Metric* m) { return m->needs == material; });
}

bool Choice::reads_ids() const {
  return std::any_of(metrics.begin(), metrics.end(),
                     [](const Metric* m) { return over_ids(m->needs); });
}

bool Choice::wants(const Metric& metric, const std::string& row) const {
  const auto only = rows.find(&metric);
  return only == rows.end() || only->second.contains(row);
}

Choice choose(const EvaluationRequest& request) {
  if (request.reference_top_k > 0 && !request.reference)
    throw bad_input("there is no reference whose distributions could be kept", "reference_top_k",
                    "name one with --reference, or with reference: in a recipe");
  Choice choice;
  std::set<const Metric*> chosen, whole;
  for (const auto& name : request.metrics) {
    const auto candidates = find_metrics(name);
    if (candidates.empty()) throw unknown(name);
    // A name that several metrics answer to means those of them whose material is there.
    std::vector<const Metric*> fit;
    for (const auto* metric : candidates)
      if (lack_for(*metric, name, request).what.empty()) fit.push_back(metric);
    if (fit.empty()) {
      const Lack lack = lack_for(*candidates[0], name, request);
      throw bad_input(lack.what, lack.where, lack.hint);
    }
    for (const auto* metric : fit) {
      chosen.insert(metric);
      const bool by_row =
          std::find(metric->rows.begin(), metric->rows.end(), name) != metric->rows.end();
      if (by_row && metric->name != name)
        choice.rows[metric].insert(name);
      else
        whole.insert(metric);
    }
  }
  for (const auto& metric : metrics()) {
    const bool applies = request.metrics.empty()
                             ? metric.by_default && lack_for(metric, "", request).what.empty()
                             : chosen.contains(&metric);
    if (applies) choice.metrics.push_back(&metric);
    if (whole.contains(&metric)) choice.rows.erase(&metric);
  }
  if (request.metrics.empty() && request.data.path.empty() && request.tasks.empty())
    throw bad_input("--data is missing", {}, "name a file, or metrics that need none: size,speed");
  return choice;
}

}  // namespace attar::eval
