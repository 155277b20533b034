// What BERT-like encoders share: embeddings of words, positions and token types, summed and normed;
// blocks of attention over the whole text and an ungated MLP, each normed after its residual sum
// (Devlin et al.: BERT, 2018; Vaswani et al.: Attention Is All You Need, 2017, §3); a vector pooled
// from the last hidden states; a head for classification. A family file reads its configuration
// with these parts and says how its tensors are called.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "compress/architecture/config_reader.h"
#include "compress/architecture/family.h"
#include "compress/architecture/model_spec.h"

namespace attar {

/// How a family spells the keys of its config.json.
struct EncoderKeys {
  const char *hidden, *ffn, *layers, *heads, *activation;
};

/// How a family spells its tensors, without the prefix ("bert."). Layers are `layers` + "3.".
struct EncoderNames {
  const char* prefix;
  const char* layers;
  const char *q, *k, *v, *o, *attention_norm, *up, *down, *mlp_norm;
  const char* pooler;                         // below the prefix; "" = the family has none
  const char *classifier_dense, *classifier;  // without prefix; "" = the pooler stands in its place
};

struct EncoderFields {
  std::string family, architecture;
  Task task = Task::embed;
  int64_t vocab = 0, hidden = 0, ffn = 0, heads = 0, max_positions = 0, type_vocab = 0;
  std::vector<int64_t> layer_heads;  // per layer; fewer than `heads` where heads were pruned
  int64_t position_offset = 0;
  float norm_eps = 1e-12f;
  Activation activation = Activation::gelu_erf;
  ModelSpec::PoolerActivation pooler_activation = ModelSpec::PoolerActivation::tanh;
  std::vector<std::string> labels;
  LabelScores label_scores = LabelScores::softmax;
  std::optional<int64_t> pad_id;
};

/// What the name of a classifier's architecture ends in.
inline constexpr std::string_view kClassifierSuffix = "ForSequenceClassification";

/// Reads what these configurations have in common. An architecture "…ForSequenceClassification" is
/// a classifier with the labels of id2label; every other one is an encoder whose vectors are means
/// over the text. Throws bad_input for contradictions and for what is not supported (relative
/// positions, decoders).
EncoderFields read_encoder(const ConfigReader& config, const EncoderKeys& keys, std::string family,
                           std::string default_architecture);

ModelSpec build_encoder(const EncoderFields& encoder, const EncoderNames& names);

/// Family::fit of encoders: takes names without the prefix (or with one that the architecture does
/// not have), LayerNorm.gamma and LayerNorm.beta; forgets a pooler that is not there; leaves out
/// heads for pre-training.
void fit_encoder(ModelSpec& spec, const WeightSource& weights, const EncoderNames& names);

/// Puts a classifier's labels into `config`, in order.
void write_labels(const std::vector<std::string>& labels, nlohmann::ordered_json& config);

/// Puts the dimensions of a spec into `config`; heads that pruning took out become `pruned_heads`,
/// which Transformers reads. Throws bad_input for layers of different MLP widths.
void write_encoder(const ModelSpec& spec, nlohmann::ordered_json& config, const EncoderKeys& keys);

}  // namespace attar
