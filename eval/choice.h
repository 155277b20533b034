// What of the table of metrics an evaluation was asked for.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "compress/pipeline/evaluation.h"
#include "eval/metric.h"

namespace attar::eval {

struct Choice {
  std::vector<const Metric*> metrics;                   // in the table's order
  std::map<const Metric*, std::set<std::string>> rows;  // of those that were named by rows

  bool needs(Needs material) const;
  /// Whether any of them reads `request.data` or a task.
  bool reads_ids() const;
  bool wants(const Metric& metric, const std::string& row) const;
};

/// By `request.metrics`, or all that apply: relative ones with a reference, those over texts with
/// data, those over tasks with tasks. Throws bad_input for an unknown name and for a metric whose
/// material is missing.
Choice choose(const EvaluationRequest& request);

/// Whether the material comes from running models over ids.
bool over_ids(Needs needs);
/// Whether it comes from running encoders over texts (see encoders.h).
bool over_texts(Needs needs);

}  // namespace attar::eval
