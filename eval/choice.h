// What of the table of metrics an evaluation was asked for.
#pragma once

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "compress/base/error.h"
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

/// bad_input when two items of a list (`what`) have one name.
template <class Named>
void require_distinct_names(const std::vector<Named>& list, const char* what) {
  std::set<std::string> names;
  for (const auto& item : list)
    if (!names.insert(item.name).second)
      throw bad_input(fmt::format("two {} are named '{}'", what, item.name), {},
                      "give each its own name: name=path");
}

}  // namespace attar::eval
