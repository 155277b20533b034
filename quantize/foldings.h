// Function-preserving rescalings: a channel may be multiplied by s where a linear layer reads it if
// it is divided by s where it is made. AWQ and SmoothQuant choose s so that rounding hurts less.
//
// Where that is possible follows from the wiring: a norm makes what the linears after it read, v
// makes what o reads, up makes what down reads.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/formats/weights.h"

namespace attar {

/// One place to rescale.
struct Folding {
  std::string name;                 // "input_layernorm -> q_proj, k_proj, v_proj"
  std::string leader;               // module whose input it is (see input_leaders)
  std::vector<LinearSpec> readers;  // their columns are multiplied
  NormSpec norm;                    // the maker, when it is a norm …
  LinearSpec linear;                // … or a linear layer, whose rows are divided
  std::vector<int32_t>
      channel;  // [readers' columns] the maker's channel; grouped-query heads share
  int64_t channels = 0;
};

/// What cannot be rescaled, and why.
struct SkippedFolding {
  std::string name, why;
};

struct FoldingPlan {
  std::vector<Folding> foldings;
  std::vector<SkippedFolding> skipped;
};

/// The foldings of a block. `quantized(module)` tells which linears will be rounded: a layer that
/// is stored as it is would have to take s in its own float type, so its foldings are skipped.
FoldingPlan plan_foldings(const BlockSpec& block,
                          const std::function<bool(const std::string& module)>& quantized);

/// A source with some tensors replaced.
class OverlayWeights : public WeightSource {
 public:
  explicit OverlayWeights(const WeightSource& base) : base_(&base) {}
  const std::vector<WeightInfo>& list() const override { return base_->list(); }
  bool has(std::string_view name) const override { return base_->has(name); }
  Weight load(std::string_view name) const override;
  void put(const std::string& name, DenseTensor tensor) { replaced_[name] = std::move(tensor); }
  const std::map<std::string, DenseTensor, std::less<>>& replaced() const { return replaced_; }

 private:
  const WeightSource* base_;
  std::map<std::string, DenseTensor, std::less<>> replaced_;
};

/// Applies s [channels], all above 0, to the overlay's tensors. A norm's weight stays in its own
/// float type: s is moved by up to half a unit in the last place so that the division is exact.
/// Linears become float32.
void apply_folding(const Folding& folding, std::vector<float> s, OverlayWeights& weights);

}  // namespace attar
