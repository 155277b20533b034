// What each linear layer of a block reads while calibration windows pass through it: second
// moments, gathered an input at a time, so that layers can be replaced on the way.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/runtime/hidden_stream.h"
#include "quantize/stored_rows.h"

namespace attar {

/// Sums over tokens for one input x of `size` channels; `gram` from x rounded to int8 (see
/// accumulate_gram_int8), `cross` in float32.
struct InputMoments {
  int64_t size = 0;
  int64_t tokens = 0;
  std::vector<double> gram;  // Σ x xᵀ, [size, size]
  std::vector<double> cross;  // Σ d xᵀ with d = exact input − x, [size, size]; empty: not followed
  bool with_largest = false;
  std::vector<float> largest;  // max |x|, [size], when asked for

  /// x [rows, size]; with `exact`, the same tokens' inputs in the exact model.
  void add(const float* x, int64_t rows, const float* exact = nullptr);
  /// 2 / tokens · Σ x xᵀ, [size, size]: GPTQ's H.
  std::vector<float> hessian() const;
  /// 2 / tokens · Σ d xᵀ, [size, size].
  std::vector<float> error_cross() const;
};

/// Layers that read the same input share its moments: module -> the first of those that read it.
std::map<std::string, std::string> input_leaders(const BlockSpec& block);

/// Calibration windows on their way through a model. Layers that are quantized already read their
/// inputs as int16 (two digits of int8), which is below anything that rounding weights leaves.
class CalibrationWalk {
 public:
  using Replaced = std::map<std::string, Weight>;
  /// Gets an input's moments before it is multiplied, by its leader; what it returns takes the
  /// place of layers' weights from there on.
  using Visitor = std::function<Replaced(const std::string& leader, const InputMoments& moments)>;

  /// Windows before block 0, or, given hidden states, before another. With `follow_exact`, the
  /// exact model is followed beside, and moments hold `cross`.
  CalibrationWalk(const ModelSpec& spec, HiddenStream stream, bool follow_exact);
  CalibrationWalk(const ModelSpec& spec, HiddenStream stream, HiddenStream exact);

  const HiddenStream& stream() const { return stream_; }
  const HiddenStream* exact() const { return exact_.get(); }

  /// Also gathers the largest magnitude of every channel.
  void track_largest() { track_largest_ = true; }

  /// Takes all windows through block `index` made of `weights` (for the exact path, of `original`),
  /// and visits the inputs of `leaders` in execution order. `last`: nobody reads what the block
  /// gives, so its final projection is left out. Throws failure naming the layer whose input is not
  /// finite.
  void walk(int64_t index, const WeightSource& weights, const WeightSource& original,
            const std::set<std::string>& leaders, const Visitor& visit, bool last);
  /// The same with copies that are thrown away: the windows stay before the block.
  void look(int64_t index, const WeightSource& weights, const WeightSource& original,
            const std::set<std::string>& leaders, const Visitor& visit);
  /// Takes all windows through the finished block: walk() without visits.
  void pass(int64_t index, const WeightSource& weights, const WeightSource& original,
            const Replaced& replaced);

 private:
  /// What an output projection reads, of all windows.
  struct Paths {
    StoredRows quantized, exact;
  };
  /// A block on its way, and the exact model's beside it.
  struct Pair {
    Block block;
    std::unique_ptr<const Block> exact;
    int64_t index;
  };
  InputMoments empty_moments(int64_t size) const;
  /// Of everything that experts read; their inputs' errors are not followed.
  std::map<std::string, InputMoments> moments_of_experts(
      const Block& block, int64_t index, Half half, const std::set<std::string>& leaders) const;
  InputMoments first_moments(const Block& block, const Block* original, Half half);
  /// f(first window, count, first row, rows) for stretches of at most kRows rows, or one window.
  template <class F>
  void for_stretches(F f) const;
  /// Computes and keeps what the half's projection reads; its moments go to `moments`, if given.
  void mix(const Pair& pair, Half half, InputMoments* moments);
  void project(const Pair& pair, Half half);
  void run(Pair& pair, const std::set<std::string>& leaders, const Visitor& visit, bool last);
  /// Up to the half's projection.
  void run_half(Pair& pair, Half half, const std::set<std::string>& leaders, const Visitor& visit,
                bool last);
  Paths& paths_of(const Pair& pair, Half half) {
    return paths_[pair.block.parallel() && half == Half::mlp];
  }

  const ModelSpec* spec_;
  HiddenStream stream_;
  std::unique_ptr<HiddenStream> exact_;
  Paths paths_[2];  // the second for parallel blocks, whose halves wait for each other
  std::vector<float> x_, exact_x_;  // of a stretch
  bool track_largest_ = false;
};

}  // namespace attar
