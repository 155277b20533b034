// The hidden states of many windows on their way through a model, one block at a time: memory for
// one block's weights and the activations, however many layers there are. Calibration, pruning
// statistics and checks of emitted models stream like this.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/formats/weights.h"
#include "compress/runtime/block.h"

namespace attar {

class HiddenStream {
 public:
  /// Embeds ids, windows · window of them. bad_input for an id outside the vocabulary and for a
  /// window longer than the model's maximum positions. `spec` must outlive the stream.
  HiddenStream(const ModelSpec& spec, const WeightSource& weights, std::span<const int32_t> ids,
               int64_t window);
  /// Embeds texts of any length, as an encoder reads them: window w has the ids [starts[w],
  /// starts[w + 1]). `types` is as long as `ids`, or empty: all 0.
  HiddenStream(const ModelSpec& spec, const WeightSource& weights, std::span<const int32_t> ids,
               std::span<const int32_t> types, std::vector<int64_t> starts);
  /// Goes on from hidden states [starts.back(), hidden] that an earlier stream had before a block.
  HiddenStream(const ModelSpec& spec, std::vector<float> hidden, std::vector<int64_t> starts);

  /// How what comes enters products with quantized weights; exact until it is set.
  void set_activations(Activations activations) { activations_ = activations; }

  int64_t windows() const { return static_cast<int64_t>(starts_.size()) - 1; }
  int64_t window_length(int64_t index) const { return rows(index, 1); }
  /// Positions of `count` windows from `first` on; of all of them.
  int64_t rows(int64_t first, int64_t count) const {
    return starts_[static_cast<size_t>(first + count)] - starts_[static_cast<size_t>(first)];
  }
  int64_t rows() const { return starts_.back(); }
  /// Where each window begins, and the end.
  const std::vector<int64_t>& starts() const { return starts_; }
  const std::vector<float>& hidden() const { return hidden_; }
  /// [window_length, hidden]
  const float* window(int64_t index) const {
    return hidden_.data() + starts_[static_cast<size_t>(index)] * spec_->hidden;
  }

  /// Takes every window through the block (the spec's index-th), which replaces its hidden states.
  void pass(const Block& block, int64_t index);

  // The same in steps, for whoever changes weights between them (see Block).

  /// What the first linear layers of `half` read in windows [first, first + count): out
  /// [rows(first, count), hidden].
  void normed(const Block& block, Half half, int64_t first, int64_t count, float* out) const;
  /// What the output projection of a half reads: out [rows(first, count), mixed_width].
  void mix(const Block& block, int64_t index, Half half, int64_t first, int64_t count,
           float* out) const;
  /// The same for one window, watched; the result is dropped.
  void watch_mix(const Block& block, int64_t index, Half half, int64_t window,
                 const LinearObserver& observer) const;
  /// Adds the projection of `mixed`, which mix() gave, to these windows' hidden states.
  void project(const Block& block, Half half, int64_t first, int64_t count, const float* mixed);

  /// The same for one window, watched.
  void pass_window(const Block& block, int64_t index, int64_t window,
                   const LinearObserver& observer = {});
  /// Takes a copy of one window through the block and returns it, [window_length, hidden]; the
  /// stream stays.
  std::vector<float> watch(const Block& block, int64_t index, int64_t window,
                           const LinearObserver& observer = {}) const;

 private:
  const ModelSpec* spec_;
  Activations activations_ = Activations::exact;
  std::vector<int64_t> starts_;  // of the windows, and the end
  std::vector<float> hidden_;    // [rows, hidden]
  std::vector<std::shared_ptr<const RopeTable>> ropes_;

  void open_ropes();
  /// f(window) for each: side by side where there are enough of them, else one after the other with
  /// all threads inside.
  void for_windows(int64_t first, int64_t count, const std::function<void(int64_t)>& f) const;
  const RopeTable* rope(int64_t block) const;
};

/// Final norm and output head: what a model's last hidden states become.
class OutputHead {
 public:
  OutputHead(const ModelSpec& spec, const WeightSource& weights);
  ~OutputHead();
  /// hidden [count, hidden] -> what the head reads, [count, hidden]
  std::vector<float> normalized(const float* hidden, int64_t count) const;
  /// hidden [count, hidden] -> logits [count, vocab]
  void logits(const float* hidden, int64_t count, float* logits) const;

 private:
  struct State;
  std::unique_ptr<const State> state_;
};

}  // namespace attar
