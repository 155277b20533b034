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
enum class Activation { silu, gelu_tanh, gelu_erf, relu, relu_squared };

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

enum class RopeScaling { none, linear, dynamic, llama3, yarn, longrope };

/// Rotary embedding: dimension pairs (i, i + dims/2) of the first `dims` of each head.
struct RopeSpec {
  int64_t dims = 0;
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::none;
  double factor = 1.0;
  double low_freq_factor = 1.0, high_freq_factor = 4.0;  // llama3
  int64_t original_max_positions = 0;                    // llama3, dynamic, yarn, longrope
  double beta_fast = 32.0, beta_slow = 1.0;              // yarn
  bool truncate = true;                                  // yarn: whole bounds of its ramp
  std::vector<double> short_factor{}, long_factor{};     // longrope, [dims/2]
  float attention_factor = 1;                            // multiplies cos and sin

  /// Angular frequency of each pair, [dims/2], with scaling applied, in a sequence of `length`
  /// positions in all: longrope and dynamic scaling depend on it.
  std::vector<double> frequencies(int64_t length = 0) const;
  /// Sequences whose lengths have the same regime have the same frequencies; when a growing one
  /// comes into another, all keys change.
  int64_t regime(int64_t length) const;
  /// Positions that the scaling is for; 0: it does not say.
  int64_t reach() const;
};

struct AttentionSpec {
  LinearSpec q, k, v, o;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 1;     // of q·k
  float softcap = 0;   // scores become cap · tanh(score / cap) before the mask; 0 = none
  int rope = -1;       // index into ModelSpec::ropes; −1 = no rotary embedding
  int64_t window = 0;  // key j is visible to query i iff i − window < j ≤ i; 0 = all j ≤ i
  bool causal = true;  // false: every unpadded position sees every other one
  /// q's rows are [query, gate] per head, and the heads' output is multiplied by sigmoid(gate).
  bool gated = false;
  NormSpec q_norm, k_norm;  // over head_dim, before rope
  NormSpec o_norm;          // over heads · head_dim, before o (BitNet)
};

/// Gated DeltaNet (Yang et al.: Gated Delta Networks, 2024), a recurrent attention in place of
/// softmax attention: q, k, v pass a causal depthwise convolution and SiLU; per value head, with
/// L2-normalized q (times key_dim^−½) and k, decay g = −exp(A_log) · softplus(a + dt_bias) and β =
/// sigmoid(b), the state S [key_dim, value_dim] becomes e^g S, then S + k (β (v − Sᵀk))ᵀ, and gives
/// Sᵀq; that is normed, multiplied by silu(z) and projected by `out`.
struct DeltaNetSpec {
  // Rows: q, k [key_heads · key_dim], v, z [value_heads · value_dim], b, a [value_heads].
  LinearSpec q, k, v, z, b, a, out;
  std::string conv;            // [conv_channels, 1, conv_width], channels q, k, v
  std::string a_log, dt_bias;  // [value_heads]
  NormSpec norm;               // over value_dim
  int64_t key_heads = 0, value_heads = 0, key_dim = 0, value_dim = 0, conv_width = 0;
  int64_t conv_channels() const { return 2 * key_heads * key_dim + value_heads * value_dim; }
};

/// gated: down(act(gate x) · up x); otherwise down(act(up x)).
struct MlpSpec {
  LinearSpec gate, up, down;
  Activation activation = Activation::silu;
  NormSpec down_norm;  // over the width, before down (BitNet)
  int64_t width = 0;   // intermediate size
  bool gated() const { return !gate.weight.empty(); }
};

/// Mixture of experts: softmax over the router's logits, the top_k largest taken; plus a shared
/// expert times sigmoid(shared_gate x).
struct MoeSpec {
  LinearSpec router;  // [experts, hidden]
  std::vector<MlpSpec> experts;
  int64_t top_k = 0;
  bool renormalize = true;  // the chosen weights are divided by their sum
  MlpSpec shared;           // width 0 = none
  LinearSpec shared_gate;   // [1, hidden]; weight empty = the shared expert counts in full
};

/// What one block does with its two halves f (attention or delta_net) and g (mlp or moe):
///   pre_norm:  h += post_f(f(norm_f(h))); h += post_g(g(norm_g(h)))   post norms only where they
///   are set post_norm: h = norm_f(h + f(h)); h = norm_g(h + g(h))              (BERT) parallel:  h
///   += f(norm_f(h)) + g(norm_g(h))                        (GPT-NeoX)
enum class Residual { pre_norm, post_norm, parallel };

struct BlockSpec {
  Residual residual = Residual::pre_norm;
  NormSpec attention_norm, mlp_norm;
  NormSpec post_attention_norm, post_mlp_norm;  // Gemma
  AttentionSpec attention;
  std::optional<DeltaNetSpec> delta_net;  // instead of attention
  MlpSpec mlp;
  std::optional<MoeSpec> moe;  // instead of mlp
  /// All linears in execution order with their short names ("q_proj", "down_proj", …): what is
  /// quantized and adapted. A router, a shared expert's gate and DeltaNet's b and a are not among
  /// them: a few rows each that decide where everything else goes.
  std::vector<std::pair<std::string, const LinearSpec*>> linears() const;
  /// The MLP, or the experts and the shared expert.
  std::vector<const MlpSpec*> mlps() const;
  /// The linears whose outputs the block adds to the hidden states.
  std::vector<const LinearSpec*> outputs() const;
};

/// How tensors stand in the files where that differs from how they are computed with: the rows of
/// several in one (a fused qkv_proj), matrices as [in, out] (GPT-2's Conv1D), another name. For
/// unit u in [0, units): part 0's rows [u · rows, (u+1) · rows), part 1's, …
struct StoredTensor {
  struct Part {
    std::string tensor;  // as the rest of the spec names it
    int64_t rows;        // per unit
  };
  std::string name;  // in the file
  std::vector<Part> parts;
  int64_t units = 1;
  bool transposed = false;
};

enum class Task { causal_lm, classify, embed };
/// How an encoder's hidden states become one vector.
enum class Pooling { none, first_token, mean };
/// What a classifier's logits stand for: one of the labels (softmax), each label by itself
/// (sigmoid), a number (raw).
enum class LabelScores { softmax, sigmoid, raw };

struct ModelSpec {
  std::string family;        // "llama"
  std::string architecture;  // "LlamaForCausalLM"
  int64_t vocab = 0, hidden = 0, max_positions = 0;
  Task task = Task::causal_lm;
  std::string embedding;  // tensor name, [vocab, hidden]
  float embedding_scale = 1;
  std::string positions;        // learned, [position_offset + max_positions, hidden]; empty = none
  int64_t position_offset = 0;  // row of the first position (RoBERTa: 2)
  std::string token_types;      // [type_vocab, hidden]; empty = none
  int64_t type_vocab = 0;
  NormSpec embedding_norm;
  std::vector<RopeSpec> ropes;
  std::vector<BlockSpec> blocks;
  NormSpec final_norm;
  LinearSpec head;  // weight == embedding when tied
  bool tied = false;
  float logit_softcap = 0;  // logits become cap · tanh(logit / cap); 0 = none

  // Encoders: hidden states are pooled; with Task::classify the logits are
  // classifier(act(pooler(pooled))). With Task::embed the pooled vector is the result, and a pooler
  // that the checkpoint has (see Family::fit) is only carried along.
  Pooling pooling = Pooling::none;
  bool normalize = false;  // embed: divided by its Euclidean length, unless raw vectors are wanted
  LinearSpec pooler, classifier;
  enum class PoolerActivation { tanh, relu } pooler_activation = PoolerActivation::tanh;
  std::vector<std::string> labels;  // of the classifier, one a row
  LabelScores label_scores = LabelScores::softmax;

  /// Tensors whose form in the files is another than here.
  std::vector<StoredTensor> stored;
  /// Tensors of published files that this model has no use for, by how their names begin, with the
  /// reason: heads for pre-training, an image model's other half.
  struct LeftOut {
    std::string prefix, reason;
  };
  std::vector<LeftOut> left_out;
  std::vector<int64_t> eos_ids;
  std::optional<int64_t> bos_id, pad_id;

  int64_t parameters() const;
  /// Those that one token passes through: without the experts that it does not go to.
  int64_t active_parameters() const;
  /// Of the first block with softmax attention; nullptr without any.
  const AttentionSpec* first_attention() const;
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
  /// The weight (one of `rows`) of an RMSNorm over these channels, whose mean square is of fewer
  /// values when some are gone; empty = none.
  std::string norm = {};
};
std::vector<DependencyGroup> dependency_groups(const ModelSpec& spec);

}  // namespace attar
