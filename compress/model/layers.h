// The layers of a model: what a spec's parts become once they have parameters, and what they
// compute. A block is one mixer over positions (attention or Gated DeltaNet) and one transformation
// of each position (an MLP or a mixture of them).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/model/linear_group.h"
#include "compress/model/ops.h"
#include "compress/model/parameters.h"

namespace attar {

/// What all layers of one forward pass are given beside their input. Rows of activations are
/// positions, b · T + t.
struct Pass {
  int64_t sequences = 1;
  at::Tensor lengths;  // int64 [sequences]; undefined: no padding
  const std::vector<ops::RopeTensors>* ropes = nullptr;
  double dropout = 0;  // on the input of adapters
  uint64_t seed = 0;   // of dropout; 0 = none
};

/// Where a projection stands in its block: all differ by at least the groups that one can have, so
/// that each has dropout of its own.
namespace place {
inline constexpr uint64_t kIn = 0, kGates = 4, kOut = 8, kMlp = 16, kShared = 32, kRouter = 48,
                          kSharedGate = 56, kExperts = 64, kMlpStep = 16;
}

/// Linears that read the same input. Those in a row that agree about having a bias are one product.
class Projection {
 public:
  /// x [rows, in] -> the outputs side by side. `at` is a place of the block.
  at::Tensor forward(const at::Tensor& x, const Pass& pass, uint64_t at) const;
  const std::vector<std::unique_ptr<LinearGroup>>& groups() const { return groups_; }
  /// Too small and too telling to be held in NF4: what routes, gates and forgets.
  bool exact() const { return exact_; }

 private:
  friend class Declaration;
  std::vector<std::unique_ptr<LinearGroup>> groups_;
  bool exact_ = false;
};

/// Declares parameters in the order of use. They lie in one block of memory, so that they exist
/// only after finish(), which fills in everything declared: those objects must stay where they are.
class Declaration {
 public:
  /// `frozen`: linears are held by their groups, not in the store.
  Declaration(ParameterStore& store, bool frozen) : store_(store), frozen_(frozen) {}

  void parameter(ops::Parameter& to, const std::string& name, std::vector<int64_t> shape);
  /// Nothing where the spec has none.
  void norm(ops::Norm& to, const NormSpec& spec, int64_t width);
  void projection(Projection& to, const std::vector<const LinearSpec*>& linears,
                  bool exact = false);
  /// A linear that is always in the store; weights ≥ 0: it has the entry of another (a tied head).
  void stored_linear(std::unique_ptr<LinearGroup>& to, const LinearSpec& linear,
                     int64_t weights = -1);
  void finish();

 private:
  int64_t declare(const std::vector<const LinearSpec*>& linears, std::string LinearSpec::*name);

  ParameterStore& store_;
  bool frozen_;
  std::vector<std::function<void()>> after_;
};

struct AttentionLayer {
  const AttentionSpec* spec = nullptr;
  Projection qkv, o;
  ops::Norm q_norm, k_norm, o_norm;

  void declare(Declaration& declaration, const AttentionSpec& from);
  at::Tensor forward(const at::Tensor& y, const Pass& pass) const;
};

struct DeltaNetLayer {
  const DeltaNetSpec* spec = nullptr;
  Projection qkvz, ba, out;
  ops::DeltaNetParameters parameters;
  ops::Norm norm;

  void declare(Declaration& declaration, const DeltaNetSpec& from);
  at::Tensor forward(const at::Tensor& y, const Pass& pass) const;
};

struct MlpLayer {
  const MlpSpec* spec = nullptr;
  Projection up, down;  // up: gate and up
  ops::Norm down_norm;

  void declare(Declaration& declaration, const MlpSpec& from);
  at::Tensor forward(const at::Tensor& y, const Pass& pass, uint64_t at) const;
};

struct MoeLayer {
  const MoeSpec* spec = nullptr;
  Projection router, shared_gate;
  std::vector<MlpLayer> experts;
  std::optional<MlpLayer> shared;

  void declare(Declaration& declaration, const MoeSpec& from);
  at::Tensor forward(const at::Tensor& y, const Pass& pass) const;
};

struct BlockLayer {
  const BlockSpec* spec = nullptr;
  ops::Norm attention_norm, mlp_norm, post_attention_norm, post_mlp_norm;
  AttentionLayer attention;
  std::optional<DeltaNetLayer> delta_net;
  MlpLayer mlp;
  std::optional<MoeLayer> moe;

  void declare(Declaration& declaration, const BlockSpec& from, int64_t hidden);
  /// Every projection in the order of use.
  std::vector<const Projection*> projections() const;

  /// The residual stream, float32 [rows, hidden], and what is still to be added to it, in the type
  /// of the products (undefined: nothing).
  struct Stream {
    at::Tensor h, delta;
  };
  void forward(Stream& stream, const Pass& pass, at::ScalarType dtype) const;

 private:
  at::Tensor mix(const at::Tensor& y, const Pass& pass) const;
  at::Tensor transform(const at::Tensor& y, const Pass& pass) const;
};

}  // namespace attar
