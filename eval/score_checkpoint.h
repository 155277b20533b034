// The scores of an unfinished pass on disk, so that an interrupted evaluation goes on inside it.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "eval/scoring.h"

namespace attar::eval {

class ScoreCheckpoint {
 public:
  /// `file` need not exist; `key` must name everything that decides the scores.
  ScoreCheckpoint(std::filesystem::path file, std::string key)
      : file_(std::move(file)), key_(std::move(key)) {}

  /// Fills `scores`, which have their sizes, and returns how many units are done: 0 without a
  /// checkpoint of this key, and where it is damaged, which is told.
  int64_t restore(std::vector<TokenScores>& scores);
  /// Whether the last one is long enough ago for what saving costs.
  bool due() const;
  /// Keeps the scores of the first `done` units.
  void save(const std::vector<TokenScores>& scores, int64_t done);
  /// When the scores have become rows.
  void remove();

 private:
  using Clock = std::chrono::steady_clock;
  std::filesystem::path file_;
  std::string key_;
  Clock::time_point saved_ = Clock::now();
  double cost_ = 0;  // seconds that the last save took
};

}  // namespace attar::eval
