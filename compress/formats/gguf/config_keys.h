// Metadata of GGUF files as the keys of config.json: the parts that architectures share.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "compress/formats/gguf/file.h"

namespace attar::gguf {

/// The keys of one architecture: key("block_count") = "llama.block_count".
class ArchitectureKeys {
 public:
  explicit ArchitectureKeys(const File& file);

  std::string key(std::string_view suffix) const { return prefix_ + std::string(suffix); }
  bool has(std::string_view suffix) const { return metadata_.has(key(suffix)); }
  /// A positive integer. One for each layer is fine when all are the same; bad_input otherwise.
  int64_t size(std::string_view suffix) const;
  int64_t size_or(std::string_view suffix, int64_t fallback) const {
    return has(suffix) ? size(suffix) : fallback;
  }
  double number(std::string_view suffix) const { return metadata_.required_number(key(suffix)); }
  double number_or(std::string_view suffix, double fallback) const {
    return metadata_.number(key(suffix)).value_or(fallback);
  }
  const Metadata& metadata() const { return metadata_; }

 private:
  const Metadata& metadata_;
  std::string prefix_;
};

/// How many blocks behind the layers only guess further tokens; the model runs without them.
constexpr const char* kGuessingLayers = "nextn_predict_layers";

/// What causal models have in common: sizes, heads, positions, norm, tie. head_dim is written where
/// the file says it.
void read_decoder_keys(const File& file, nlohmann::ordered_json& config);

/// rope_theta and rope_scaling (linear, yarn, and Llama 3's from the tensor rope_freqs).
void read_rope_keys(const File& file, nlohmann::ordered_json& config);

/// Llama 3's scaling behind factors [dims/2] that divide the frequencies; `where` is the tensor's
/// place. Throws bad_input when the factors are not of that form.
nlohmann::ordered_json llama3_scaling(std::span<const float> factors, double theta,
                                      const std::string& where);

}  // namespace attar::gguf
