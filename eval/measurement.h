// Speed and memory of one model, measured alone: in a fresh process (`attar bench model`), so that
// neither another model's memory nor a warm cache of this process counts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "compress/kernels/matmul.h"

namespace attar::eval {

struct Measurement {
  static constexpr int64_t kBatch = 8;
  double prefill_tokens_per_s = 0;                  // medians
  std::optional<double> decode_tokens_per_s;        // none of an encoder
  std::optional<double> batch_decode_tokens_per_s;  // of kBatch sequences together
  std::optional<double> batch_texts_per_s;          // of an encoder, see EncoderSpeed
  std::optional<double> first_token_seconds;        // none of an encoder
  std::optional<double> load_seconds;
  uint64_t peak_rss_bytes = 0;
  int64_t prompt = 0, generate = 0, repetitions = 0;
  int threads = 0;
  std::string activations;     // see activations_of
  std::string kernel, method;  // method: which process
};

/// Runs the `attar` beside this program on the model; one with an adapter is measured here. Where
/// there is none (attar as a library), measures in this process, which `method` says.
/// `max_positions` bounds prompt and generated ids. Throws failure when the measurement fails.
Measurement measure_model(const std::filesystem::path& model, const std::filesystem::path& adapter,
                          int64_t max_positions, Activations activations);

/// For a row's details.
nlohmann::ordered_json describe(const Measurement& measurement);

}  // namespace attar::eval
