// A model's architecture as data: which tensors there are, how they are wired, which dimensions
// hang together. Everything that touches a model (runtime, LibTorch model, pruner, quantizer, LoRA,
// planner) walks this description; nothing else in the code knows a family.
//
// Goal: a family that only recombines known parts is one file in families/. Non-goal: arbitrary
// graphs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace attar {

enum class NormKind { none, rms, layer };
enum class Activation { silu, gelu_tanh, gelu_erf, relu };

struct NormSpec {
  NormKind kind = NormKind::none;
  float eps = 1e-5f;
  std::string weight, bias;  // tensor names; empty = absent
  float weight_offset = 0;   // Gemma multiplies by (1 + w)
};

/// y = x Wᵀ + b, W [out, in].
struct LinearSpec {
  std::string weight, bias;  // tensor names; bias empty = none; weight empty = no such layer
  int64_t out = 0, in = 0;
  /// "model.layers.0.mlp.up_proj": the name without ".weight".
  std::string module() const;
};

enum class RopeScaling { none, linear, llama3 };

/// Rotary embedding: dimension pairs (i, i + dims/2) of the first `dims` of each head.
struct RopeSpec {
  int64_t dims = 0;
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::none;
  double factor = 1.0;
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  int64_t original_max_positions = 0;                    // llama3

  /// Angular frequency of each pair, [dims/2], with scaling applied.
  std::vector<double> frequencies() const;
};

struct AttentionSpec {
  LinearSpec q, k, v, o;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 1;     // of q·k
  int rope = -1;       // index into ModelSpec::ropes; −1 = no rotary embedding
  int64_t window = 0;  // key j is visible to query i iff i − window < j ≤ i; 0 = all j ≤ i
  NormSpec q_norm, k_norm;  // over head_dim, before rope
};

/// gated: down(act(gate x) · up x); otherwise down(act(up x)).
struct MlpSpec {
  LinearSpec gate, up, down;
  Activation activation = Activation::silu;
  int64_t width = 0;  // intermediate size
  bool gated() const { return !gate.weight.empty(); }
};

/// Pre-norm residual block: h += attention(norm(h)); h += mlp(norm(h)).
struct BlockSpec {
  NormSpec attention_norm, mlp_norm;
  AttentionSpec attention;
  MlpSpec mlp;
  /// All linears in execution order with their short names ("q_proj", "down_proj", …).
  std::vector<std::pair<std::string, const LinearSpec*>> linears() const;
};

struct ModelSpec {
  std::string family;        // "llama"
  std::string architecture;  // "LlamaForCausalLM"
  int64_t vocab = 0, hidden = 0, max_positions = 0;
  std::string embedding;  // tensor name, [vocab, hidden]
  float embedding_scale = 1;
  std::vector<RopeSpec> ropes;
  std::vector<BlockSpec> blocks;
  NormSpec final_norm;
  LinearSpec head;  // weight == embedding when tied
  bool tied = false;
  std::vector<int64_t> eos_ids;
  std::optional<int64_t> bos_id, pad_id;

  int64_t parameters() const;
};

enum class TensorRole { embedding, norm, linear, bias, head };

/// One tensor that a model of this spec has.
struct TensorSpec {
  std::string name;
  std::vector<int64_t> shape;
  TensorRole role;
  int64_t block = -1;  // −1: outside the blocks
};

/// Every tensor in file order (a tied head is not among them).
std::vector<TensorSpec> tensors(const ModelSpec& spec);

/// A set of channels that can only be removed together (Torch-Pruning's dependency group): for each
/// unit u in [0, units), rows [u·rows_per_unit, …) of every tensor in `rows` (a bias has one
/// element a row) and columns [u·cols_per_unit, …) of every tensor in `columns`.
struct DependencyGroup {
  enum class Kind { ffn_neurons, kv_groups };
  struct Slice {
    std::string tensor;
    int64_t per_unit;  // consecutive rows or columns that one unit owns
  };
  Kind kind;
  int64_t block = 0, units = 0;
  std::vector<Slice> rows, columns;
};
std::vector<DependencyGroup> dependency_groups(const ModelSpec& spec);

}  // namespace attar
