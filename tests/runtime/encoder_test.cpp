// Encoders against recorded outputs of the reference implementation; the same bytes in every batch.
#include "compress/runtime/encoder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "tests/runtime/golden.h"

namespace attar {
namespace {

/// The rows of a golden batch without their padding.
struct GoldenBatch {
  explicit GoldenBatch(const std::string& model)
      : file(Safetensors::open(golden_path(model) / "golden.safetensors")),
        ids(ids_of(file.at("input_ids"))) {
    if (const auto* tensor = file.find("token_type_ids")) types = ids_of(*tensor);
    const auto mask = file.at("attention_mask").integers();
    const auto rows = file.at("input_ids").shape[0], length = file.at("input_ids").shape[1];
    for (int64_t r = 0; r < rows; ++r) {
      const auto first = static_cast<size_t>(r * length);
      size_t count = 0;
      while (count < static_cast<size_t>(length) && mask[first + count] != 0) ++count;
      texts.push_back({std::span(ids).subspan(first, count), {}});
      if (!types.empty()) texts.back().types = std::span(types).subspan(first, count);
    }
  }
  Safetensors file;
  std::vector<int32_t> ids, types;
  std::vector<TextIds> texts;
};

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double worst = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return worst;
}

TEST(Encoder, GivesTheReferencesResults) {
  for (const auto& [name, tensor] :
       {std::pair("bert_cls", "logits"), std::pair("distilbert_cls", "logits"),
        std::pair("bert_embed", "pooled_mean")})
    for (const char* config : {"config.json", "config.legacy.json"}) {
      SCOPED_TRACE(name);
      const GoldenBatch batch(name);
      EXPECT_LT(batch.texts[1].ids.size(), batch.texts[0].ids.size());  // there is padding
      const auto model = EncoderModel::load(golden_model(name, config));
      EXPECT_LT(largest_difference(model->run(batch.texts), batch.file.at(tensor).floats()), 1e-5);
    }
}

TEST(Encoder, PoolsAsTheDirectorySays) {
  const GoldenBatch batch("bert_embed");
  ModelDirectory directory = ModelDirectory::open(golden_path("bert_embed"));
  directory.path = fs::path(::testing::TempDir()) / "attar-cls-pooling";
  fs::create_directories(directory.path / "1_Pooling");
  std::ofstream(directory.path / "1_Pooling/config.json") << R"({"pooling_mode_cls_token": true})";
  const auto vectors = EncoderModel::load(open_model(directory))->run(batch.texts);
  EXPECT_LT(largest_difference(vectors, batch.file.at("pooled_cls").floats()), 1e-5);
  fs::remove_all(directory.path);
}

TEST(Encoder, NormalizesToTheReferencesVectors) {
  const GoldenBatch batch("bert_embed");
  auto vectors = EncoderModel::load(golden_model("bert_embed"))->run(batch.texts);
  const size_t width = vectors.size() / 2;
  for (size_t r = 0; r < 2; ++r) normalize_vector(std::span(vectors).subspan(r * width, width));
  EXPECT_LT(largest_difference(vectors, batch.file.at("pooled_mean_l2norm").floats()), 1e-6);
  std::vector<float> zeros(4);
  normalize_vector(zeros);
  EXPECT_EQ(zeros, std::vector<float>(4));
}

TEST(Encoder, ATextsBytesAreTheSameInEveryBatchAndWithAnyThreads) {
  for (const char* name : {"bert_cls", "bert_embed"}) {
    const auto model = EncoderModel::load(golden_model(name));
    const GoldenBatch golden(name);
    std::vector<TextIds> texts;
    for (size_t length = 1; length <= golden.texts[0].ids.size(); length += 3) {
      texts.push_back({golden.texts[0].ids.first(length),
                       golden.texts[0].types.first(golden.types.empty() ? 0 : length)});
      texts.push_back({golden.texts[0].ids.last(length), {}});
    }
    const int threads = thread_count();
    set_thread_count(3);
    const auto all = model->run(texts);
    set_thread_count(1);
    const auto width = static_cast<size_t>(model->width());
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto alone = model->run({&texts[i], 1});
      EXPECT_EQ(std::memcmp(alone.data(), all.data() + i * width, width * sizeof(float)), 0) << i;
    }
    set_thread_count(threads);
  }
}

/// A source with tensors under other names, and some changed.
class Renamed : public WeightSource {
 public:
  explicit Renamed(std::shared_ptr<const WeightSource> base) : base_(std::move(base)) {}
  void add(const std::string& name, const std::string& from) {
    for (WeightInfo info : base_->list())
      if (info.name == from) {
        info.name = name;
        list_.push_back(info);
        from_[name] = from;
      }
  }
  void add(const std::string& name, std::vector<int64_t> shape, std::vector<float> values) {
    list_.push_back({name, shape, "F32", values.size() * 4});
    auto owner = std::make_shared<std::vector<float>>(std::move(values));
    own_[name] = {DType::f32, std::move(shape), std::as_bytes(std::span(*owner)), owner};
  }
  const std::vector<WeightInfo>& list() const override { return list_; }
  bool has(std::string_view name) const override {
    return from_.contains(std::string(name)) || own_.contains(std::string(name));
  }
  Weight load(std::string_view name) const override {
    if (const auto own = own_.find(std::string(name)); own != own_.end()) return own->second;
    const auto found = from_.find(std::string(name));
    return base_->load(found == from_.end() ? name : std::string_view(found->second));
  }

 private:
  std::shared_ptr<const WeightSource> base_;
  std::vector<WeightInfo> list_;
  std::map<std::string, std::string> from_;
  std::map<std::string, DenseTensor> own_;
};

/// BERT's weights as a RoBERTa: positions two rows later, the pooler as the classifier's own layer.
TEST(Encoder, RobertaIsBertWithItsPositionsShifted) {
  const ModelDirectory bert = ModelDirectory::open(golden_path("bert_cls"));
  ModelDirectory roberta = bert;
  roberta.config["architectures"] = {"RobertaForSequenceClassification"};
  roberta.config["max_position_embeddings"] = 50;
  roberta.config["pad_token_id"] = 1;
  auto weights = std::make_shared<Renamed>(bert.weights);
  for (const WeightInfo& info : bert.weights->list()) {
    std::string name = info.name;
    if (name.starts_with("bert.pooler."))
      name = "classifier" + name.substr(11);
    else if (name.starts_with("bert."))
      name = "roberta" + name.substr(4);
    else
      name = "classifier.out_proj" + name.substr(10);
    if (info.name != "bert.embeddings.position_embeddings.weight") weights->add(name, info.name);
  }
  auto positions = bert.weights->floats("bert.embeddings.position_embeddings.weight");
  positions.insert(positions.begin(), 2 * 64, 9.0f);
  weights->add("roberta.embeddings.position_embeddings.weight", {50, 64}, positions);
  roberta.weights = weights;
  const GoldenBatch batch("bert_cls");
  ASSERT_EQ(std::count(batch.ids.begin(), batch.ids.begin() + 24, 1), 0);  // no padding inside
  EXPECT_EQ(EncoderModel::load(open_model(roberta))->run(batch.texts),
            EncoderModel::load(open_model(bert))->run(batch.texts));
}

TEST(Encoder, RefusesWhatItCannotRead) {
  const auto model = EncoderModel::load(golden_model("bert_cls"));
  const auto refusal = [&](std::vector<int32_t> ids,
                           std::vector<int32_t> types = {}) -> std::string {
    const TextIds text{ids, types};
    try {
      model->run({&text, 1});
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input);
      return error.block();
    }
    return "nothing";
  };
  EXPECT_NE(refusal({}).find("a text without ids"), std::string::npos);
  EXPECT_NE(refusal({256}).find("id 256 at index 0"), std::string::npos);
  EXPECT_NE(refusal({-1}).find("outside the vocabulary"), std::string::npos);
  EXPECT_NE(refusal({1, 2}, {0, 2}).find("token type 2 at index 1"), std::string::npos);
  EXPECT_NE(refusal(std::vector<int32_t>(49, 3)).find("49 ids are more than the model's 48"),
            std::string::npos);
  EXPECT_THROW(EncoderModel::load(golden_model("llama_gqa")), Error);
}

TEST(Encoder, ScoresLabels) {
  const std::vector<float> logits = {0, std::log(3.0f)};
  EXPECT_NEAR(label_scores(logits, LabelScores::softmax)[1], 0.75, 1e-7);
  EXPECT_NEAR(label_scores(logits, LabelScores::sigmoid)[0], 0.5, 1e-7);
  EXPECT_NEAR(label_scores(logits, LabelScores::raw)[1], std::log(3.0), 1e-7);
}

}  // namespace
}  // namespace attar
