// Models over the same ids, run side by side.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "eval/material.h"

namespace attar::eval {

struct Group {
  const EvaluationRequest& request;
  const Material& material;
  std::vector<const Subject*> members = {};
  const Subject* reference = nullptr;
  /// Content hashes of the members, then of the reference; empty where nothing is kept on disk.
  std::vector<std::string> hashes = {};
  bool deviations = false;  // errors by block are wanted
  /// Whether some member still lacks something over this material.
  std::function<bool(Needs needs, size_t task)> due = {};
  /// Takes what a member's metrics over this material look at.
  std::function<void(Needs needs, size_t task, size_t member, const MetricInput& input)> finish =
      {};
};

/// Loads the models, runs them over all material that is due and gives what comes of it to
/// `finish`. Throws failure when a logit is not finite, Error(interrupted).
void measure_group(const Group& group);

/// Whether the model is the reference, and run as it is.
bool stands_for(const Subject& model, const Subject& reference, Activations activations);

/// What metrics know of a model without running it; `reference` may be null.
MetricInput input_of(const Subject& model, const Subject* reference);

}  // namespace attar::eval
