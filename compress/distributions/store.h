// Distributions of one model over id sequences, kept on disk: what has been computed once, for an
// evaluation or for a distillation, is read by both.
//
// A directory of safetensors files (segments), each written whole or not at all:
//   sequences [n, 2] int64   the first half of SHA-256 over a sequence's ids and first prediction
//   starts    [n + 1] int64  its rows
//   loss [rows] float64, log_rest [rows, 2] float32, ids [rows, k] int32, log_p [rows, k] float16:
//                            see top_rows.h; wider elements first, so that all are aligned
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "compress/distributions/top_rows.h"

namespace attar {

/// What decides the rows beside the ids.
struct DistributionKey {
  std::string model;  // content hash
  int64_t vocab = 0, k = 0;
  double temperature = 2;  // see TopRow::log_rest_softened

  std::string hash() const;
};

/// Ids of which those after position `first` are predicted.
struct PredictedIds {
  std::span<const int32_t> ids;
  int64_t first = 0;
};

class DistributionStore {
 public:
  static constexpr double kTemperature = 2;  // the usual one of distillation

  /// Opens <directory>/<hash of key>, creating nothing yet. A segment that is damaged is told and
  /// left out, so that it is computed and written again.
  DistributionStore(const std::filesystem::path& directory, DistributionKey key);
  /// Writes what is not written yet; an error then is told, not thrown.
  ~DistributionStore();
  DistributionStore(const DistributionStore&) = delete;
  DistributionStore& operator=(const DistributionStore&) = delete;

  const DistributionKey& key() const { return key_; }
  TopRows empty_rows() const { return {key_.k, key_.vocab, key_.temperature}; }

  /// The rows of a sequence whose ids after position `first` are predicted: [ids.size() − 1 −
  /// first]. Valid until the next add() or flush(). May be called from several threads, but not
  /// beside add().
  std::optional<TopRowsView> find(std::span<const int32_t> ids, int64_t first) const;
  /// Keeps a sequence that find() does not know. Throws failure when the disk is full.
  void add(std::span<const int32_t> ids, int64_t first, TopRows rows);
  /// Writes what has come since the last segment.
  void flush();

  bool has_all(const std::vector<PredictedIds>& sequences) const;
  /// Mean probability of the named ids over all predictions of sequences that the store has.
  double mean_coverage(const std::vector<PredictedIds>& sequences) const;

  uint64_t bytes() const;  // of the segments on disk

 private:
  using Name = std::pair<uint64_t, uint64_t>;
  static Name name_of(std::span<const int32_t> ids, int64_t first);
  void open_segment(const std::filesystem::path& file);

  std::filesystem::path directory_;
  DistributionKey key_;
  std::vector<std::shared_ptr<const void>> owners_;
  std::map<Name, TopRowsView> known_;
  std::vector<std::pair<Name, std::unique_ptr<const TopRows>>> pending_;
  int64_t pending_rows_ = 0;
  int segments_ = 0;
};

}  // namespace attar
