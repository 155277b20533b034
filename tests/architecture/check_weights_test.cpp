#include <map>

#include "tests/architecture/golden_models.h"

namespace attar {
namespace {

using testing::expect_parts;
using testing::golden_config;
using testing::golden_spec;
using testing::kGolden;
using testing::refusal;

/// The weights of a golden model with changes.
class ChangedWeights : public WeightSource {
 public:
  explicit ChangedWeights(const std::string& model)
      : base_(ModelDirectory::open(kGolden / model).weights), list_(base_->list()) {}

  void erase(const std::string& name) {
    std::erase_if(list_, [&](const WeightInfo& info) { return info.name == name; });
  }
  void add(const std::string& name, std::vector<int64_t> shape, const std::string& format = "F32") {
    list_.push_back({name, std::move(shape), format, 0});
  }
  void alias(const std::string& name, const std::string& target) {
    aliases_[name] = target;
    for (const WeightInfo& info : base_->list())
      if (info.name == target) add(name, info.shape);
  }

  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override { return base_->has(name); }
  Weight load(std::string_view name) const override {
    const auto found = aliases_.find(std::string(name));
    return base_->load(found == aliases_.end() ? name : std::string_view(found->second));
  }

 private:
  std::shared_ptr<const WeightSource> base_;
  std::vector<WeightInfo> list_;
  std::map<std::string, std::string> aliases_;
};

std::string refusal_of(const ModelSpec& spec, const WeightSource& weights) {
  return refusal([&] { check_weights(spec, weights, "model"); });
}

TEST(CheckWeights, ListsEverythingAtOnce) {
  ChangedWeights weights("llama_gqa");
  weights.erase("model.norm.weight");
  weights.erase("model.layers.1.mlp.up_proj.weight");
  weights.add("model.layers.1.mlp.up_proj.weight", {64, 63});
  weights.erase("model.layers.0.mlp.up_proj.weight");
  weights.add("model.layers.0.mlp.up_proj.weight", {64, 64}, "I32");
  weights.add("model.layers.0.extra.weight", {3});
  expect_parts(refusal_of(golden_spec("llama_gqa"), weights),
               {"in 4 points", "missing: model.norm.weight [64]",
                "wrong shape: model.layers.1.mlp.up_proj.weight is [64, 63], expected [64, 64]",
                "not floats: model.layers.0.mlp.up_proj.weight is I32",
                "left over: model.layers.0.extra.weight [3]", "where: model"});
}

TEST(CheckWeights, SaysTheContradictionFirst) {
  const auto contradiction = [](const char* key, int64_t value) {
    auto config = golden_config("llama_gqa");
    config[key] = value;
    return refusal_of(read_model_spec(config, ""), ChangedWeights("llama_gqa"));
  };
  expect_parts(contradiction("vocab_size", 300),
               {"vocab_size is 300, but model.embed_tokens.weight has 256 rows"});
  expect_parts(contradiction("hidden_size", 128),
               {"hidden_size is 128, but model.embed_tokens.weight has 64 columns"});
  expect_parts(contradiction("intermediate_size", 128),
               {"intermediate_size is 128, but model.layers.0.mlp.up_proj.weight has 64 rows"});
  expect_parts(contradiction("num_hidden_layers", 3),
               {"num_hidden_layers is 3, but the weights have 2 layers"});
  expect_parts(contradiction("num_hidden_layers", 1),
               {"num_hidden_layers is 1, but the weights have 2 layers"});
  expect_parts(contradiction("num_hidden_layers", 60), {"… and "});
  auto config = golden_config("llama_tied");
  config["tie_word_embeddings"] = false;
  expect_parts(refusal_of(read_model_spec(config, ""), ChangedWeights("llama_tied")),
               {"tie_word_embeddings is false", "there is no lm_head.weight"});
}

TEST(CheckWeights, PassesOverWhatSaysNothingNew) {
  ChangedWeights weights("llama_tied");
  weights.alias("lm_head.weight", "model.embed_tokens.weight");
  weights.add("model.layers.0.self_attn.rotary_emb.inv_freq", {8});
  const auto passed_over = check_weights(golden_spec("llama_tied"), weights, "model");
  EXPECT_EQ(passed_over,
            (std::vector<std::string>{
                "passed over lm_head.weight: it equals the tied embedding",
                "passed over model.layers.0.self_attn.rotary_emb.inv_freq: it follows from the "
                "configuration"}));

  ChangedWeights other("llama_tied");
  other.alias("lm_head.weight", "model.norm.weight");
  expect_parts(refusal_of(golden_spec("llama_tied"), other),
               {"tie_word_embeddings is true, but lm_head.weight differs from the embedding"});
}

}  // namespace
}  // namespace attar
