// Finished rows of an evaluation on disk, so that an interrupted one goes on where it was and a
// repeated one measures only what changed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "compress/pipeline/report.h"

namespace attar::eval {

class RowCache {
 public:
  /// `directory` is created with the first row; "" keeps nothing.
  explicit RowCache(std::filesystem::path directory) : directory_(std::move(directory)) {}

  bool enabled() const { return !directory_.empty(); }
  /// The rows stored under `key`, which must name everything that decides them. A damaged entry
  /// counts as none. The names in them are those of the evaluation that stored them.
  std::optional<std::vector<EvaluationRow>> find(const std::string& key) const;
  void store(const std::string& key, const std::vector<EvaluationRow>& rows) const;

 private:
  std::filesystem::path directory_;
};

}  // namespace attar::eval
