#include <algorithm>
#include <cmath>
#include <numeric>

#include "compress/base/error.h"
#include "compress/base/random.h"
#include "compress/runtime/model.h"

namespace attar {

Sampler::Sampler(const SamplingOptions& options) : options_(options), state_(options.seed) {
  if (!(options.temperature >= 0) || !std::isfinite(options.temperature))
    throw bad_input("must be 0 or more", "temperature", "0 takes the most likely token");
  if (options.top_k < 0) throw bad_input("must be 0 (all) or more", "top-k");
  if (!(options.top_p > 0 && options.top_p <= 1)) throw bad_input("must be in (0, 1]", "top-p");
  if (!(options.min_p >= 0 && options.min_p <= 1)) throw bad_input("must be in [0, 1]", "min-p");
}

int32_t Sampler::next(std::span<const float> logits) {
  if (options_.temperature == 0)
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto logit = [&](int32_t id) { return logits[static_cast<size_t>(id)]; };
  std::sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    return logit(a) != logit(b) ? logit(a) > logit(b) : a < b;
  });
  if (options_.top_k > 0 && options_.top_k < static_cast<int64_t>(ids.size()))
    ids.resize(static_cast<size_t>(options_.top_k));

  std::vector<double> weights;  // as shares of the likeliest one's
  double total = 0;
  for (const int32_t id : ids) {
    const double weight =
        std::exp((static_cast<double>(logit(id)) - static_cast<double>(logit(ids[0]))) /
                 options_.temperature);
    if (weight < options_.min_p) break;
    weights.push_back(weight);
    total += weight;
  }
  // The fewest ids whose probability reaches top_p.
  size_t kept = 0;
  double mass = 0;
  while (kept < weights.size() && (kept == 0 || mass < options_.top_p * total))
    mass += weights[kept++];

  Random random(state_);
  double target = random.uniform() * mass;
  state_ = random.state();
  for (size_t i = 0; i < kept; ++i) {
    target -= weights[i];
    if (target < 0) return ids[i];
  }
  return ids[kept - 1];
}

}  // namespace attar
