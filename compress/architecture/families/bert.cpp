// BERT (Google) and the many models built like it: classifiers, rerankers, sentence embedders.
#include "compress/architecture/encoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

constexpr EncoderKeys kKeys = {"hidden_size", "intermediate_size", "num_hidden_layers",
                               "num_attention_heads", "hidden_act"};
constexpr EncoderNames kNames = {.prefix = "bert.",
                                 .layers = "encoder.layer.",
                                 .q = "attention.self.query",
                                 .k = "attention.self.key",
                                 .v = "attention.self.value",
                                 .o = "attention.output.dense",
                                 .attention_norm = "attention.output.LayerNorm",
                                 .up = "intermediate.dense",
                                 .down = "output.dense",
                                 .mlp_norm = "output.LayerNorm",
                                 .pooler = "pooler.dense",
                                 .classifier_dense = "",
                                 .classifier = "classifier"};

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  EncoderFields e = read_encoder(config, kKeys, "bert", "BertModel");
  e.type_vocab = config.optional_size("type_vocab_size").value_or(2);
  e.norm_eps = static_cast<float>(config.optional_positive("layer_norm_eps").value_or(1e-12));
  return build_encoder(e, kNames);
}

void write(const ModelSpec& spec, nlohmann::ordered_json& config) {
  write_encoder(spec, config, kKeys);
}
void fit(ModelSpec& spec, const WeightSource& weights) {
  fit_encoder(spec, weights, kNames);
}

}  // namespace

Family bert_family() {
  return {"bert",
          {"BertForSequenceClassification", "BertModel", "BertForMaskedLM", "BertForPreTraining"},
          {"bert"},
          "BERT: encoder for classification and sentence embeddings",
          read,
          write,
          fit};
}

}  // namespace attar
