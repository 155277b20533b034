// BERT and its relatives as data: what configurations and files say, and what they must not say.
#include <fmt/core.h>

#include <fstream>
#include <map>

#include "compress/architecture/sentence_modules.h"
#include "tests/architecture/golden_models.h"

namespace attar {
namespace {

using nlohmann::ordered_json;
using testing::expect_parts;
using testing::golden_config;
using testing::golden_spec;
using testing::kGolden;
using testing::refusal;

/// A listing of names and shapes, without values.
class Names : public WeightSource {
 public:
  explicit Names(std::vector<WeightInfo> list) : list_(std::move(list)) {}
  /// Those of a golden model, each changed by `rename` (to "": not there).
  Names(const std::string& model, const std::function<std::string(std::string)>& rename)
      : list_(ModelDirectory::open(kGolden / model).weights->list()) {
    for (WeightInfo& info : list_) info.name = rename(info.name);
    std::erase_if(list_, [](const WeightInfo& info) { return info.name.empty(); });
  }
  void add(const std::string& name, std::vector<int64_t> shape) {
    list_.push_back({name, std::move(shape), "F32", 0});
  }
  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override {
    return std::any_of(list_.begin(), list_.end(),
                       [&](const WeightInfo& info) { return info.name == name; });
  }
  Weight load(std::string_view) const override { throw failure("no values"); }

 private:
  std::vector<WeightInfo> list_;
};

std::string replaced(std::string name, const std::string& from, const std::string& to) {
  const size_t at = name.find(from);
  return at == std::string::npos ? name : name.replace(at, from.size(), to);
}

/// What the files call a tensor of a fitted spec.
std::string stored_name(const ModelSpec& spec, const std::string& tensor) {
  for (const StoredTensor& stored : spec.stored)
    if (stored.parts.at(0).tensor == tensor) return stored.name;
  return tensor;
}

/// Every tensor of the fitted spec is in the listing, and nothing else is but what is left out.
void expect_covers(const ModelSpec& spec, const Names& names) {
  size_t found = 0;
  for (const TensorSpec& tensor : tensors(spec)) {
    EXPECT_TRUE(names.has(stored_name(spec, tensor.name))) << tensor.name;
    ++found;
  }
  for (const WeightInfo& info : names.list())
    for (const auto& part : spec.left_out)
      if (info.name.starts_with(part.prefix)) {
        ++found;
        break;
      }
  EXPECT_EQ(found, names.list().size());
}

TEST(Encoders, ReadTheGoldenModels) {
  const std::map<std::string, int64_t> parameters = {
      {"bert_cls", 82755}, {"bert_embed", 82560}, {"distilbert_cls", 82562}};
  for (const auto& [model, count] : parameters)
    for (const char* file : {"config.json", "config.legacy.json"}) {
      const ModelSpec spec = read_model_spec(golden_config(model, file), model);
      EXPECT_EQ(spec.parameters(), count) << model;
      const auto directory = ModelDirectory::open(kGolden / model);
      EXPECT_TRUE(check_weights(spec, *directory.weights, model).empty());
    }
}

TEST(Encoders, KnowTheirDifferences) {
  const ModelSpec bert = golden_spec("bert_cls"), embed = golden_spec("bert_embed"),
                  distil = golden_spec("distilbert_cls");
  EXPECT_EQ(bert.task, Task::classify);
  EXPECT_EQ(bert.labels, (std::vector<std::string>{"LABEL_0", "LABEL_1", "LABEL_2"}));
  EXPECT_EQ(bert.pooling, Pooling::first_token);
  EXPECT_EQ(bert.pooler.weight, "bert.pooler.dense.weight");
  EXPECT_EQ(bert.type_vocab, 2);
  EXPECT_EQ(bert.blocks[0].residual, Residual::post_norm);
  EXPECT_FALSE(bert.blocks[0].attention.causal);
  EXPECT_FLOAT_EQ(bert.blocks[0].mlp_norm.eps, 1e-12f);
  EXPECT_EQ(embed.task, Task::embed);
  EXPECT_EQ(embed.pooling, Pooling::mean);
  EXPECT_FALSE(embed.normalize);
  EXPECT_EQ(embed.embedding, "embeddings.word_embeddings.weight");
  EXPECT_EQ(distil.labels.size(), 2u);  // no id2label: what the published class takes
  EXPECT_TRUE(distil.token_types.empty());
  EXPECT_EQ(distil.pooler.weight, "pre_classifier.weight");
  EXPECT_EQ(distil.pooler_activation, ModelSpec::PoolerActivation::relu);
}

TEST(Encoders, WriteWhatPruningLeaves) {
  for (const char* model : {"bert_cls", "distilbert_cls"}) {
    auto config = golden_config(model);
    ModelSpec spec = read_model_spec(config, model);
    spec.blocks.pop_back();
    spec.blocks[0].mlp.width = 40;
    spec.blocks[0].attention.heads = spec.blocks[0].attention.kv_heads = 3;
    spec.labels = {"yes", "no"};
    write_model_spec(spec, config);
    const ModelSpec back = read_model_spec(config, model);
    ASSERT_EQ(back.blocks.size(), 1u);
    EXPECT_EQ(back.blocks[0].attention.heads, 3);
    EXPECT_EQ(back.blocks[0].attention.head_dim, 16);
    EXPECT_EQ(back.blocks[0].attention.o.in, 48);
    EXPECT_EQ(back.blocks[0].mlp.down.in, 40);
    EXPECT_EQ(back.labels, spec.labels);
    EXPECT_EQ(config["pruned_heads"], (ordered_json{{"0", {3}}}));
    spec.blocks[0].attention.heads = spec.blocks[0].attention.kv_heads = 4;
    write_model_spec(spec, config);
    EXPECT_FALSE(config.contains("pruned_heads"));
  }
}

TEST(Encoders, HaveGroupsThatPruningTakesTogether) {
  const auto groups = dependency_groups(golden_spec("bert_cls"));
  ASSERT_EQ(groups.size(), 4u);
  EXPECT_EQ(groups[0].units, 4);
  EXPECT_EQ(groups[0].rows.size(), 6u);  // weights and biases of q, k, v
  EXPECT_EQ(groups[0].columns[0].tensor, "bert.encoder.layer.0.attention.output.dense.weight");
  EXPECT_EQ(groups[1].units, 96);
  EXPECT_EQ(groups[1].rows.size(), 2u);
}

TEST(Encoders, TakeNamesOfOldCheckpoints) {
  const auto fitted = [](ModelSpec spec, const Names& names) {
    fit_model_spec(spec, names);
    expect_covers(spec, names);
    return spec;
  };
  const auto no_prefix = [](std::string name) { return replaced(name, "bert.", ""); };
  fitted(golden_spec("bert_cls"), Names("bert_cls", no_prefix));
  fitted(golden_spec("distilbert_cls"), Names("distilbert_cls", [](std::string name) {
           return replaced(name, "distilbert.", "");
         }));

  // The original BERT: its heads for pre-training, norms called gamma and beta.
  Names old("bert_embed", [](std::string name) {
    return "bert." + replaced(replaced(name, "LayerNorm.weight", "LayerNorm.gamma"),
                              "LayerNorm.bias", "LayerNorm.beta");
  });
  old.add("cls.predictions.bias", {256});
  old.add("bert.embeddings.position_ids", {1, 48});
  const ModelSpec bare = fitted(golden_spec("bert_embed"), old);
  EXPECT_EQ(stored_name(bare, "embeddings.LayerNorm.bias"), "bert.embeddings.LayerNorm.beta");
  auto config = golden_config("bert_embed");
  config["architectures"] = {"BertForMaskedLM"};
  const ModelSpec masked = fitted(read_model_spec(config, ""), old);
  EXPECT_EQ(masked.task, Task::embed);
  EXPECT_EQ(masked.embedding, "bert.embeddings.word_embeddings.weight");

  // A pooler is not always there, and embedders do not need it.
  const ModelSpec bald =
      fitted(golden_spec("bert_embed"),
             Names("bert_embed", [](std::string n) { return n.starts_with("pooler") ? "" : n; }));
  EXPECT_TRUE(bald.pooler.weight.empty());
  EXPECT_TRUE(fitted(golden_spec("bert_cls"), Names("bert_cls", [](std::string n) { return n; }))
                  .stored.empty());
}

TEST(Encoders, RobertaCountsPositionsBehindThePadding) {
  auto config = golden_config("bert_cls");
  config["architectures"] = {"XLMRobertaForSequenceClassification"};
  config["pad_token_id"] = 1;
  const ModelSpec spec = read_model_spec(config, "");
  EXPECT_EQ(spec.position_offset, 2);
  EXPECT_EQ(spec.max_positions, 46);
  EXPECT_EQ(spec.pooler.weight, "classifier.dense.weight");
  EXPECT_EQ(spec.classifier.weight, "classifier.out_proj.weight");
  write_model_spec(spec, config);
  EXPECT_EQ(config["max_position_embeddings"], 48);
}

TEST(Encoders, LabelsMustBeConsistent) {
  const auto refused = [](const ordered_json& changes, std::initializer_list<const char*> parts) {
    auto config = golden_config("bert_cls");
    config.update(changes);
    SCOPED_TRACE(changes.dump());
    expect_parts(refusal([&] { read_model_spec(config, "c.json"); }), parts);
  };
  refused({{"id2label", {{"0", "a"}, {"2", "b"}}}}, {"c.json: id2label", "none has the id 1"});
  refused({{"id2label", ordered_json::object()}}, {"without labels"});
  refused({{"id2label", {{"0", 5}}}}, {"expected a text"});
  refused({{"num_labels", 4}}, {"num_labels is 4, but id2label has 3"});
  refused({{"label2id", {{"LABEL_0", 1}}}}, {"c.json: label2id.LABEL_0", "contradicts id2label"});
  refused({{"problem_type", "ranking"}}, {"unknown problem \"ranking\""});
  refused({{"position_embedding_type", "relative_key"}}, {"\"relative_key\" positions"});
  refused({{"is_decoder", true}}, {"only encoders"});
  refused({{"hidden_act", "mish"}}, {"unknown activation"});
  refused({{"num_attention_heads", 5}}, {"64 is no multiple of 5 heads"});
  refused({{"pruned_heads", {{"0", {0, 1, 2, 3}}}}}, {"a layer without any head"});
  refused({{"pruned_heads", {{"0", {4}}}}}, {"no head 4 among 4"});
  refused({{"pruned_heads", {{"7", {0}}}}}, {"no layer from 0 to 1"});

  auto config = golden_config("bert_cls");
  config["id2label"] = {{"0", "a"}, {"1", "b"}};
  config["label2id"] = {{"a", 0}, {"b", 1}};
  const auto directory = ModelDirectory::open(kGolden / "bert_cls");
  expect_parts(
      refusal([&] { check_weights(read_model_spec(config, ""), *directory.weights, "model"); }),
      {"labels (id2label) is 2, but classifier.weight has 3 rows"});
}

TEST(SentenceModules, SayPoolingAndNormalization) {
  const fs::path directory = fs::path(::testing::TempDir()) / "attar-sentence-modules";
  fs::remove_all(directory);
  fs::create_directories(directory / "1_Pooling");
  const auto write = [&](const char* name, const char* text) {
    std::ofstream(directory / name) << text;
  };
  const auto read = [&] {
    ModelSpec spec = golden_spec("bert_embed");
    read_sentence_modules(directory, spec);
    return spec;
  };
  EXPECT_EQ(read().pooling, Pooling::mean);
  EXPECT_EQ(longest_text(directory, golden_spec("bert_embed")), 48);
  write("1_Pooling/config.json", R"({"word_embedding_dimension": 64,
      "pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  EXPECT_EQ(read().pooling, Pooling::first_token);
  write("modules.json", R"([
      {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
      {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
      {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])");
  write("sentence_bert_config.json", R"({"max_seq_length": 20, "do_lower_case": false})");
  EXPECT_TRUE(read().normalize);
  EXPECT_EQ(longest_text(directory, golden_spec("bert_embed")), 20);
  ModelSpec classifier = golden_spec("bert_cls");
  read_sentence_modules(directory, classifier);
  EXPECT_FALSE(classifier.normalize);

  write("1_Pooling/config.json", R"({"pooling_mode_max_tokens": true})");
  expect_parts(refusal(read), {"\"max_tokens\" is not supported", "1_Pooling/config.json"});
  write("1_Pooling/config.json",
        R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true})");
  expect_parts(refusal(read), {"2 poolings are switched on"});
  write("modules.json", R"([{"type": "sentence_transformers.models.Dense"}])");
  expect_parts(refusal(read), {"Dense\" is not supported", "modules.json: 0.type"});
  write("modules.json", "{");
  expect_parts(refusal(read), {"modules.json"});
  fs::remove_all(directory);
}

}  // namespace
}  // namespace attar
