// Measures models: what the `evaluate:` section of a recipe and `attar eval` do.
//
// Everything runs on the kernels and the loader that a deployed model runs on. Models go over the
// data side by side, in groups that fit in memory together with the reference, so that the
// reference's logits are computed once a group and kept nowhere. Values do not depend on the
// grouping nor on the number of threads.
#pragma once

#include "compress/pipeline/evaluation.h"
#include "eval/metric.h"

namespace attar::eval {

/// Everything that can be wrong is found before anything is computed or written: bad_input for
/// models of one name, unknown metrics, metrics whose data, task or reference is missing, a
/// reference of another vocabulary or tokenizer, a window longer than a model's positions, data
/// that gives no window, malformed task files; failure for logits that are not finite.
EvaluationResult evaluate(const EvaluationRequest& request);

}  // namespace attar::eval
