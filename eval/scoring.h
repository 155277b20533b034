// Runs models over sequences side by side and keeps, for every prediction, what the metrics need.
// Logits live for some positions at a time only: memory does not grow with the data times the
// vocabulary.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compress/distributions/store.h"
#include "compress/runtime/model.h"
#include "eval/sequences.h"

namespace attar::eval {

/// Of one model over all predictions of a set, in its order.
struct TokenScores {
  std::vector<int64_t> starts;    // [units + 1]: a unit's predictions
  std::vector<double> loss;       // −log p(next id), nats
  std::vector<uint8_t> hit;       // the next id is the likeliest
  std::vector<double> kl;         // KL(reference ‖ model), nats; empty unless asked for
  std::vector<uint8_t> agrees;    // the same likeliest id as the reference; likewise
  std::vector<double> deviation;  // see ScoringOptions; empty unless asked for

  int64_t units() const { return static_cast<int64_t>(starts.size()) - 1; }
  int64_t count() const { return static_cast<int64_t>(loss.size()); }
};

struct Runner {
  std::string name;  // for messages
  /// Null for a reference all of whose sequences are kept (ScoringOptions::kept).
  std::shared_ptr<const RuntimeModel> model;
};

class ScoreCheckpoint;

/// What score() is asked for beyond losses.
struct ScoringOptions {
  bool first_is_reference = false;  // of the others
  bool divergences = false;         // `kl` and `agrees`; the reference's own KL is 0
  /// Where a model is alike() the reference, `deviation` holds
  /// [units, blocks, 2]: after every block Σ ‖h − h_reference‖² and Σ ‖h_reference‖² over a unit's
  /// positions. Not with `kept`, which has no hidden states.
  bool deviations = false;
  /// The reference's scores are taken from here, and KL refers to the kept part of its
  /// distributions; what is missing is computed and added.
  DistributionStore* kept = nullptr;
  ScoreCheckpoint* checkpoint = nullptr;  // where an interrupted pass goes on
};

/// The set's sequences as the store knows them.
std::vector<PredictedIds> predicted(const Sequences& set);

/// As many blocks of the same width.
bool alike(const ModelSpec& a, const ModelSpec& b);

/// Scores of all `models`, which share the set's vocabulary. The reference's logits are computed
/// once for all of them. Sequences of a unit that begin with the same ids read these once. Throws
/// failure naming model, unit and position when a logit is not finite. The values depend on neither
/// the number of threads nor the other models.
std::vector<TokenScores> score(const Sequences& set, const std::vector<Runner>& models,
                               const ScoringOptions& options);

/// Σ of `values` over each unit's predictions.
std::vector<double> unit_sums(const TokenScores& scores, std::span<const double> values);
/// How many predictions each unit has.
std::vector<double> unit_counts(const TokenScores& scores);

}  // namespace attar::eval
