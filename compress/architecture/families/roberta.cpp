// RoBERTa (Liu et al., 2019) and XLM-RoBERTa: BERT's blocks, positions counted from behind the
// padding id, the classifier with a layer of its own.
#include "compress/architecture/encoder.h"
#include "compress/architecture/families/families.h"

namespace attar {
namespace {

constexpr EncoderKeys kKeys = {"hidden_size", "intermediate_size", "num_hidden_layers",
                               "num_attention_heads", "hidden_act"};
constexpr EncoderNames kNames = {.prefix = "roberta.",
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
                                 .classifier_dense = "classifier.dense",
                                 .classifier = "classifier.out_proj"};

ModelSpec read(const nlohmann::ordered_json& json, const std::string& where) {
  const ConfigReader config(json, where);
  EncoderFields e = read_encoder(config, kKeys, "roberta", "RobertaModel");
  e.type_vocab = config.optional_size("type_vocab_size").value_or(1);
  e.norm_eps = static_cast<float>(config.optional_positive("layer_norm_eps").value_or(1e-5));
  if (!e.pad_id) e.pad_id = 1;
  e.position_offset = *e.pad_id + 1;
  if (e.max_positions <= e.position_offset)
    throw config.error("max_position_embeddings",
                       fmt::format("{} rows, of which the first {} are no positions",
                                   e.max_positions, e.position_offset));
  e.max_positions -= e.position_offset;
  return build_encoder(e, kNames);
}

void write(const ModelSpec& spec, nlohmann::ordered_json& config) {
  write_encoder(spec, config, kKeys);
}
void fit(ModelSpec& spec, const WeightSource& weights) {
  fit_encoder(spec, weights, kNames);
}

}  // namespace

Family roberta_family() {
  return {"roberta",
          {"RobertaForSequenceClassification", "RobertaModel", "RobertaForMaskedLM",
           "XLMRobertaForSequenceClassification", "XLMRobertaModel", "XLMRobertaForMaskedLM"},
          {"roberta", "xlm-roberta"},
          "RoBERTa and XLM-RoBERTa: BERT with positions behind the padding id",
          read,
          write,
          fit};
}

}  // namespace attar
