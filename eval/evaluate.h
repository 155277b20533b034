// Measures models: what the `evaluate:` section of a recipe and `attar eval` do.
//
// Everything runs on the kernels and the loader that a deployed model runs on. Models go over the
// data side by side, in groups that fit in memory together with the reference, so that the
// reference's logits are computed once a group and kept nowhere. Values do not depend on the
// grouping nor on the number of threads.
#pragma once

#include <vector>

#include "compress/pipeline/evaluation.h"
#include "eval/metric.h"

namespace attar::eval {

/// Rows in the order models × metrics (of the table). Throws bad_input for models of one name,
/// unknown metrics, relative metrics without a reference or with one of another vocabulary or
/// tokenizer, a window longer than a model's positions, data that gives no window; failure for
/// logits that are not finite.
std::vector<EvaluationRow> evaluate(const EvaluationRequest& request);

/// True when a metric asked for reads `request.data`. Throws bad_input like evaluate().
bool needs_data(const EvaluationRequest& request);

}  // namespace attar::eval
