// Measures classifiers and embedders: the same request, rows and cache as for models that write
// text, over labelled texts in place of token windows.
#pragma once

#include "compress/pipeline/evaluation.h"

namespace attar::eval {

/// Whether the request's models are encoders. bad_input when only some of them (or the reference)
/// are.
bool about_encoders(const EvaluationRequest& request);

/// bad_input as evaluate(), and: labels that a classifier does not have (naming the row), texts
/// longer than a model takes, a reference with other labels.
EvaluationResult evaluate_encoders(const EvaluationRequest& request);

}  // namespace attar::eval
