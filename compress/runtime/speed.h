// How fast a model reads a prompt and writes after it: the measurement behind `attar bench model`
// and the speed rows of an evaluation.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compress/runtime/encoder.h"
#include "compress/runtime/model.h"

namespace attar {

struct SpeedOptions {
  int64_t prompt = 512;    // ids read in one go
  int64_t generate = 128;  // ids written one by one after them
  int64_t batch = 8;       // sequences that are written side by side
  int repetitions = 5;     // counted ones; one more before them is not
  bool bandwidth = false;  // measure what memory gives between them
};

/// Middle of the repetitions and their spread: (largest − smallest) / middle.
struct Rate {
  double median = 0, spread = 0;
  std::vector<double> samples;
};

struct Speed {
  Rate prefill_tokens_per_s, decode_tokens_per_s;
  Rate batch_tokens_per_s;         // of all sequences of the batch together, after short prompts
  double first_token_seconds = 0;  // median: from the prompt's ids to the first logits
  uint64_t peak_rss_bytes = 0;     // of the process, before the batch
  /// Where asked for: medians of what memory gives in GB/s (kernels/benchmark.h), and of the share
  /// of it that reading the weights once for every id written comes to.
  double read_bandwidth = 0, decode_share = 0;
};

/// Fixed pseudo-random ids (time does not depend on them), wall time. bad_input when prompt +
/// generate exceeds the model's positions or a number is not positive.
Speed measure_speed(const std::shared_ptr<const RuntimeModel>& model, const SpeedOptions& options);

/// What an encoder reads a second: one text of `prompt` ids, and batches of `batch` texts of `ids`
/// ids each, which is what short questions are like.
struct EncoderSpeed {
  static constexpr int64_t kBatch = 32, kIds = 16;
  Rate text_tokens_per_s, batch_tokens_per_s;
  double text_seconds = 0;  // median, of the one text
  int64_t ids = 0;          // of a text in a batch
};

/// The same for an encoder; `generate` has no meaning there.
EncoderSpeed measure_speed(const EncoderModel& model, const SpeedOptions& options);

}  // namespace attar
