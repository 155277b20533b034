// Finished blocks on disk, so that a run that was killed goes on where it stopped and ends with the
// same bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "compress/base/files.h"
#include "quantize/module_quantizer.h"

namespace attar {

/// Hidden states before a block: of the model being quantized, and of the exact one where that is
/// followed.
struct SavedActivations {
  int64_t block = 0;
  std::vector<float> hidden, exact;
};

class QuantizeCheckpoint {
 public:
  /// In `directory`, which exists. What was left by a run with another `fingerprint` is removed.
  QuantizeCheckpoint(fs::path directory, const std::string& fingerprint);

  /// Parts 0 … finished() − 1 are complete.
  int64_t finished() const { return finished_; }
  /// Writes part `finished()`; it counts once everything of it is on disk.
  void commit(const QuantizedModules& part);
  /// A finished part; layouts come from `modules`.
  QuantizedModules load(int64_t part, const std::vector<QuantModule>& modules) const;

  /// Keeps the activations before `block` in place of earlier ones.
  void save(const SavedActivations& activations);
  std::optional<SavedActivations> saved() const;

 private:
  fs::path file(int64_t part, const char* extension) const;

  fs::path directory_;
  int64_t finished_ = 0;
};

}  // namespace attar
