// Runs models over token windows side by side and keeps, for every prediction, what the metrics
// need. Logits live for some positions at a time only: memory does not grow with the data times the
// vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compress/data/dataset.h"
#include "compress/runtime/model.h"

namespace attar::eval {

/// Of one model over all windows, [windows, predictions] each: in every window each id after the
/// first is predicted from those before it (protocol `gptq`).
struct TokenScores {
  int64_t windows = 0, predictions = 0;  // predictions: a window
  std::vector<double> loss;              // −log p(next id), nats
  std::vector<double> kl;                // KL(reference ‖ model), nats; empty without a reference
  std::vector<uint8_t> agrees;           // the same likeliest id as the reference; likewise

  int64_t count() const { return windows * predictions; }
};

struct Runner {
  std::string name;  // for messages
  std::shared_ptr<const RuntimeModel> model;
};

/// Scores of all `models`, which share the windows' vocabulary; the first is the reference of the
/// others if `first_is_reference` (its own KL is 0). A window's reference logits are computed once
/// for all of them. Throws failure naming model, window and position when a logit is not finite.
std::vector<TokenScores> score_windows(const TokenWindows& windows,
                                       const std::vector<Runner>& models, bool first_is_reference);

}  // namespace attar::eval
