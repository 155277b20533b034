// Whether an evaluation got worse than an earlier one by more than noise: `attar eval --baseline`.
#pragma once

#include <string>
#include <vector>

#include "compress/pipeline/report.h"

namespace attar::eval {

struct Comparison {
  std::vector<std::string> regressions;  // one sentence each
  std::vector<std::string> unjudged;     // "student prefill_tokens_per_s: no interval"
  size_t judged = 0;
};

/// Compares rows of the same model, metric and protocol. Worse beyond noise means: over the same
/// units (windows, documents, examples), the 95 % interval of the change lies on the worse side of
/// none. Where a row does not say what each unit adds: the two 95 % intervals do not overlap, those
/// of the paired ratio to the reference where both have it. Sizes
/// are exact: any growth is a regression. Other rows without intervals (speed, memory) are left
/// unjudged, as are those on other data. Throws bad_input when no row of the baseline can be
/// compared.
Comparison compare_with_baseline(const std::vector<EvaluationRow>& rows, const RunReport& baseline);

}  // namespace attar::eval
