// A causal language model in memory, without LibTorch.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compress/architecture/model.h"
#include "compress/runtime/block.h"

namespace attar {

struct RuntimeOptions {
  Activations activations = Activations::exact;
  /// Dense half-precision weights are computed in float32 always; quantized ones as `activations`
  /// says.
  KvFormat kv = KvFormat::f32;  // what keys and values are kept as
  bool packed_cache = false;    // keep packed matrices beside the model, see packed_cache.h
};

class RuntimeModel {
 public:
  /// Checks that values are finite and packs them. Throws bad_input; failure when packed matrices
  /// are to be kept and can't be written.
  static std::shared_ptr<const RuntimeModel> load(const Model& opened,
                                                  const RuntimeOptions& options = {});

  const ModelSpec& spec() const;
  const RuntimeOptions& options() const;
  uint64_t bytes() const;  // of packed weights
  /// What a step of one sequence reads of them: no table of embeddings, of experts the chosen ones.
  uint64_t step_bytes() const;

  /// ids at `position`, `position` + 1, … -> hidden [count, hidden]; bad_input for an id outside
  /// the vocabulary.
  void embed(std::span<const int32_t> ids, float* hidden, int64_t position = 0) const;
  const Block& block(int64_t index) const;
  const RopeTable* rope(int64_t block) const;  // nullptr when the block has none
  /// Final norm and head: hidden [count, hidden] -> logits [count, vocab].
  /// A logit that is not finite is a failure naming its position; `position` is the first row's.
  void head(const float* hidden, int64_t count, float* logits, int64_t position = 0) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

/// Several sequences that are read and written side by side: a step reads the weights once for all
/// of them, and every sequence's logits are those that it has alone. Where its length changes the
/// rotary embedding of all positions (longrope, dynamic scaling), a sequence is read again from the
/// beginning, so that every result is that of reading everything at once.
class Batch {
 public:
  Batch(std::shared_ptr<const RuntimeModel> model, int64_t sequences);

  int64_t position(int64_t sequence) const {
    return std::ssize(ids_[static_cast<size_t>(sequence)]);
  }
  /// Appends ids to one sequence; returns the logits after the last one, [vocab]. bad_input beyond
  /// the model's maximum positions.
  std::vector<float> read(int64_t sequence, std::span<const int32_t> ids);
  /// Appends ids to one sequence; logits [count, vocab] of every position.
  void read_all(int64_t sequence, std::span<const int32_t> ids, float* logits);
  /// Appends ids[i] to sequences[i], which are different ones; logits [sequences.size(), vocab].
  std::vector<float> step(std::span<const int64_t> sequences, std::span<const int32_t> ids);

 private:
  BlockState& state(size_t block, int64_t sequence) {
    return states_[block * ids_.size() + static_cast<size_t>(sequence)];
  }
  bool reads_again(int64_t sequence, int64_t length) const;
  /// Hidden states [ids.size(), hidden] of the new positions.
  std::vector<float> run(int64_t sequence, std::span<const int32_t> ids);

  std::shared_ptr<const RuntimeModel> model_;
  std::vector<BlockState> states_;         // [blocks, sequences]
  std::vector<std::vector<int32_t>> ids_;  // all that each has read
};

/// One sequence.
class Session {
 public:
  explicit Session(std::shared_ptr<const RuntimeModel> model) : batch_(std::move(model), 1) {}
  int64_t position() const { return batch_.position(0); }
  std::vector<float> advance(std::span<const int32_t> ids) { return batch_.read(0, ids); }
  void advance_all(std::span<const int32_t> ids, float* logits) { batch_.read_all(0, ids, logits); }

 private:
  Batch batch_;
};

/// How the next id is drawn from logits.
struct SamplingOptions {
  double temperature = 0;  // 0 = the largest logit, the lowest id among equals
  int64_t top_k = 0;       // 0 = all
  double top_p = 1;
  double min_p = 0;  // ids below this share of the likeliest one's probability are left out
  uint64_t seed = 0;
};

class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options);
  int32_t next(std::span<const float> logits);

 private:
  SamplingOptions options_;
  uint64_t state_;
};

}  // namespace attar
