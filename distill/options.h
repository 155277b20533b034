// Options of the stages `train` and `distill`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "compress/architecture/family.h"
#include "compress/training/options.h"
#include "distill/losses.h"

namespace attar::distill {

/// The dimensions of a new Llama-family model.
struct ArchitectureOptions {
  int64_t hidden = 0, ffn = 0, layers = 0, heads = 0;
  std::optional<int64_t> kv_heads, head_dim;
  int64_t context = 1024;
  bool tied = true;
  double rope_theta = 10000;

  template <class Visitor>
  void fields(Visitor& v) {
    v("hidden", hidden, "width of the residual stream", required(at_least(1)));
    v("ffn", ffn, "intermediate width of the MLP", required(at_least(1)));
    v("layers", layers, "blocks", required(at_least(1)));
    v("heads", heads, "query heads", required(at_least(1)));
    v("kv_heads", kv_heads, "key/value heads; default: heads", at_least(1));
    v("head_dim", head_dim, "width of a head; default: hidden / heads", at_least(2));
    v("context", context, "maximum positions", at_least(2));
    v("tied", tied, "the output head is the embedding matrix");
    v("rope_theta", rope_theta, "base of the rotary embedding", above(0));
  }
};

/// The shape for llama_config().
LlamaShape llama_shape(const ArchitectureOptions& options, int64_t vocab);

/// Exactly one of the two.
struct TokenizerOptions {
  std::optional<int64_t> vocab_size;
  std::optional<std::string> path;

  template <class Visitor>
  void fields(Visitor& v) {
    v("vocab_size", vocab_size, "train a byte-level BPE of that size on the data", at_least(260));
    v("path", path, "take this model directory's tokenizer");
  }
};

struct TrainOptions {
  std::optional<ArchitectureOptions> architecture;
  std::optional<TokenizerOptions> tokenizer;
  std::string labels = "model";
  TrainingOptions training;

  template <class Visitor>
  void fields(Visitor& v) {
    v("architecture", architecture,
      "start from scratch with these dimensions; default: continue the input model");
    v("tokenizer", tokenizer, "from scratch: where the tokenizer comes from");
    v("labels", labels,
      "of a classifier: the model's own, or those of the data, for which an encoder gets a new "
      "head",
      one_of("model", "data"));
    training.fields(v);
  }
  void check(const Node& node, Problems& problems) const;
};

/// Weight of each loss in the sum that is minimized.
struct LossWeights {
  std::vector<double> weights = std::vector<double>(losses().size(), 0.0);

  template <class Visitor>
  void fields(Visitor& v) {
    for (size_t i = 0; i < weights.size(); ++i)
      v(losses()[i].name, weights[i], losses()[i].summary, at_least(0));
  }
};

struct DistillOptions {
  std::string teacher;
  std::optional<int64_t> teacher_top_k;
  std::optional<LossWeights> loss;
  double temperature = 2.0;
  double jsd_beta = 0.5;
  double skew_alpha = 0.1;
  TrainingOptions training;

  DistillOptions() { training.learning_rate = 5e-4; }

  template <class Visitor>
  void fields(Visitor& v) {
    v("teacher", teacher, "the model to learn from: `model` or a stage's name", required());
    v("teacher_top_k", teacher_top_k,
      "run the teacher once, before training, and keep that many ids of its distributions and the "
      "others' probability on disk; default: run it at every step",
      at_least(1));
    v("loss", loss, "weight of each loss; default: kl 0.9, ce 0.1 (embedders: cosine 1)");
    v("temperature", temperature, "softmax temperature of the losses between teacher and student",
      above(0));
    v("jsd_beta", jsd_beta, "the teacher's share in jsd's mixture", above(0, 1));
    v("skew_alpha", skew_alpha, "the teacher's share in skew_kl's mixture", between(0, 1));
    training.fields(v);
    if (!loss) loss = usual_loss();
  }
  void check(const Node& node, Problems& problems) const;
  static LossWeights usual_loss();
  static LossWeights usual_vector_loss();
};

}  // namespace attar::distill
