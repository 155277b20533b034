// DistilBERT (Sanh et al., 2019): BERT's blocks without token types and pooler.
#include "compress/architecture/encoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

constexpr EncoderKeys kKeys = {"dim", "hidden_dim", "n_layers", "n_heads", "activation"};
constexpr EncoderNames kNames = {.prefix = "distilbert.",
                                 .layers = "transformer.layer.",
                                 .q = "attention.q_lin",
                                 .k = "attention.k_lin",
                                 .v = "attention.v_lin",
                                 .o = "attention.out_lin",
                                 .attention_norm = "sa_layer_norm",
                                 .up = "ffn.lin1",
                                 .down = "ffn.lin2",
                                 .mlp_norm = "output_layer_norm",
                                 .pooler = "",
                                 .classifier_dense = "pre_classifier",
                                 .classifier = "classifier"};

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  EncoderFields e = read_encoder(ConfigReader(json, where), kKeys, "distilbert", "DistilBertModel");
  e.norm_eps = 1e-12f;  // no key says so
  e.pooler_activation = ModelSpec::PoolerActivation::relu;
  return build_encoder(e, kNames);
}

void write(const ModelSpec& spec, nlohmann::ordered_json& config) {
  write_encoder(spec, config, kKeys);
}
void fit(ModelSpec& spec, const WeightSource& weights) {
  fit_encoder(spec, weights, kNames);
}

}  // namespace

Family distilbert_family() {
  return {"distilbert",
          {"DistilBertForSequenceClassification", "DistilBertModel", "DistilBertForMaskedLM"},
          {"distilbert"},
          "DistilBERT: BERT without token types, half as deep",
          read,
          write,
          fit};
}

}  // namespace attar
