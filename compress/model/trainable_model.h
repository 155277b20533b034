// A model that can be trained, a causal language model or an encoder, built from an architecture's
// description alone.
//
// Weights are float32 masters under their published names; the matrix products run in float32 or,
// rounded from the masters at each refresh(), in bfloat16. Norms, softmax, rotary embedding, the
// residual stream and all sums over positions are float32 in either case.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "compress/architecture/model_spec.h"
#include "compress/architecture/storage.h"
#include "compress/formats/weights.h"
#include "compress/model/layers.h"
#include "compress/model/linear_group.h"
#include "compress/model/ops.h"
#include "compress/model/parameters.h"

namespace attar {

enum class Precision { fp32, bf16 };

/// How the linear layers of the blocks are held: as float32 masters with gradients, or frozen, in
/// the precision of the products or in NF4 (the few weights that route and gate: in the precision
/// of the products even then).
enum class Weights { trained, frozen, nf4 };

/// What a forward pass reads.
struct ModelInput {
  at::Tensor ids;          // int64 [B, T]
  at::Tensor token_types;  // int64 [B, T]; undefined: all 0
  at::Tensor lengths;  // int64 [B], of encoders: positions before the padding; undefined: T each
  ModelInput(at::Tensor ids_in, at::Tensor types = {}, at::Tensor lengths_in = {})
      : ids(std::move(ids_in)), token_types(std::move(types)), lengths(std::move(lengths_in)) {}
};

/// An adapter to be attached to one linear.
struct AdapterPlan {
  std::string module;  // "model.layers.0.self_attn.q_proj"
  int64_t rank = 8;
  float scale = 1;  // of B A
};

class TrainableModel {
 public:
  /// Weights are undefined until load() or, when trained, initialize().
  TrainableModel(const ModelSpec& spec, Precision precision, Weights weights);
  TrainableModel(const TrainableModel&) = delete;
  TrainableModel& operator=(const TrainableModel&) = delete;

  /// Throws bad_input for a missing tensor or a value that is not finite. Reads one tensor at a
  /// time.
  void load(const WeightSource& weights);
  /// N(0, 0.02) for matrices, those that write into the residual stream divided by √(2 · blocks)
  /// (Radford et al.: GPT-2, 2019); ones for norms.
  void initialize(uint64_t seed);

  /// Adds adapters: A uniform in ±1/√in (Kaiming with a = √5, as PEFT), B zero; all of one rank
  /// within a group of linears that share their input. `dropout` on their input while training.
  ///
  /// `head`: linears of a classifier that are trained whole beside them (PEFT's modules_to_save);
  /// they start from their loaded values.
  void attach(const std::vector<AdapterPlan>& plans, double dropout, uint64_t seed,
              const std::vector<const LinearSpec*>& head = {});
  /// "<module>.lora_A.weight" [rank, in] and "<module>.lora_B.weight" [out, rank], and the head's
  /// weights and biases under their names; empty without adapters.
  ParameterStore& adapters() { return adapters_; }
  ParameterStore& parameters() { return parameters_; }
  /// What an optimizer works on: the adapters if there are any.
  ParameterStore& trained() { return adapters_.entries().empty() ? parameters_ : adapters_; }

  /// To be called after any change of parameters, before the next forward.
  void refresh();

  /// The final norm's output [B·T, hidden] in the type of the products. Builds a graph where
  /// gradients are enabled. `seed` is for dropout; 0 = none. Throws bad_input where there are more
  /// positions than learned ones.
  at::Tensor hidden(const ModelInput& input, uint64_t seed = 0);
  /// Of encoders: the classifier's logits float32 [B, labels], or the pooled vectors float32 [B,
  /// hidden] (not normalized). Graph and `seed` as hidden().
  at::Tensor pooled(const ModelInput& input, uint64_t seed = 0);
  /// Without a graph: float32 [B, T, vocab] of a causal model, pooled() of an encoder.
  at::Tensor logits(const ModelInput& input);
  /// Of a causal model; its logits are before ModelSpec::logit_softcap.
  LinearGroup& head() const { return *head_; }

  const ModelSpec& spec() const { return spec_; }
  at::ScalarType dtype() const { return dtype_; }

  /// What save() will write: every tensor of the spec in `dtype`.
  std::vector<TensorPlan> plan(DType dtype) const;
  /// Of a trained model: writes all tensors (not the adapters) to `writer`, rounded to what it
  /// planned.
  void save(StoredWriter& writer) const;

 private:
  at::Tensor embedded(const ModelInput& input) const;
  void extend_ropes(int64_t positions);
  void train_whole(const LinearSpec& linear, int64_t weight);
  std::vector<const Projection*> projections() const;

  const ModelSpec spec_;
  at::ScalarType dtype_;
  Weights weights_;
  ParameterStore parameters_, adapters_;
  ops::Parameter embedding_, positions_, token_types_;
  ops::Norm embedding_norm_, final_norm_;
  std::vector<BlockLayer> blocks_;
  std::unique_ptr<LinearGroup> head_, pooler_, classifier_;
  std::vector<ops::RopeTensors> ropes_;
  int64_t rope_positions_ = 0;
  at::Tensor anchor_;
  double dropout_ = 0;
};

}  // namespace attar
