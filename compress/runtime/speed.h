// How fast a model reads a prompt and writes after it: the measurement behind `attar bench model`
// and the speed rows of an evaluation.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compress/runtime/model.h"

namespace attar {

struct SpeedOptions {
  int64_t prompt = 512;    // ids read in one go
  int64_t generate = 128;  // ids written one by one after them
  int repetitions = 5;     // counted ones; one more before them is not
};

/// Middle of the repetitions and their spread: (largest − smallest) / middle.
struct Rate {
  double median = 0, spread = 0;
  std::vector<double> samples;
};

struct Speed {
  Rate prefill_tokens_per_s, decode_tokens_per_s;
  double first_token_seconds = 0;  // median: from the prompt's ids to the first logits
};

/// Fixed pseudo-random ids (time does not depend on them), wall time. bad_input when prompt +
/// generate exceeds the model's positions or a number is not positive.
Speed measure_speed(const std::shared_ptr<const RuntimeModel>& model, const SpeedOptions& options);

}  // namespace attar
