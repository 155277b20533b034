// A sweep: a recipe that stands for many models, one for each combination of values of some
// options.
//
//   sweep:
//     over: {int4.scheme: [W4A16, W3A16], slim.keep.ffn: [0.5, 0.75]}
//     budget: {bytes: 4M}
//
// Each swept stage, and each stage that comes from one, is replaced by its variants. A stage has as
// many as the options that it and its parents depend on have combinations, so what variants share
// is made once.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compress/recipe/node.h"

namespace attar {

struct SweepAxis {
  std::string stage, key;           // "slim", "keep.ffn"
  std::vector<std::string> values;  // as written
};

/// What a recommended model may need at most, or give at least.
struct SweepBudget {
  std::optional<uint64_t> bytes, memory;
  std::optional<double> decode_tokens_per_s, prefill_tokens_per_s;

  bool any() const { return bytes || memory || decode_tokens_per_s || prefill_tokens_per_s; }
};

struct SweepSpec {
  std::vector<SweepAxis> axes;
  /// Variant -> its values, as {"int4.scheme", "W4A16"}.
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> settings;
  SweepBudget budget;
  std::string metric;  // what the best model is best at; "" = perplexity, or what is measured
  std::string where;
};

/// Carries out `sweep:` in a recipe's tree: stages, evaluate.models and gates become those of the
/// variants. Nothing without the key. Mistakes go to `problems`.
std::optional<SweepSpec> expand_sweep(Node& root, Problems& problems);

}  // namespace attar
