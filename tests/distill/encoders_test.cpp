// Encoders that train: losses on labels, on a teacher, on pairs; the stages by their commands.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "compress/architecture/model.h"
#include "compress/formats/safetensors.h"
#include "compress/training/text_objective.h"
#include "distill/losses.h"
#include "tests/support/encoder_model.h"

namespace attar {
namespace {

using nlohmann::ordered_json;
using testing::attar;
using testing::golden;

/// Texts of ids, one after the other.
TokenWindows windows_of(const std::vector<std::vector<int32_t>>& texts) {
  TokenWindows windows;
  windows.starts = {0};
  for (const auto& text : texts) {
    windows.ids.insert(windows.ids.end(), text.begin(), text.end());
    windows.starts.push_back(std::ssize(windows.ids));
    windows.window = std::max(windows.window, std::ssize(text));
  }
  return windows;
}

std::unique_ptr<TrainableModel> load(const std::string& name) {
  const Model opened = open_model(golden(name));
  auto model = std::make_unique<TrainableModel>(opened.spec, Precision::fp32, Weights::trained);
  model->load(*opened.weights);
  return model;
}

const std::vector<int64_t> kBoth = {0, 1};

TEST(TextObjective, IsTheCrossEntropyOfTheLogitsWhateverTheBatch) {
  const auto model = load("bert_cls");
  TextSet set;
  set.texts = windows_of({{2, 17, 9, 3}, {2, 40, 41, 42, 43, 7, 3}});
  set.labels = {2, 0};
  const CrossEntropy loss;
  TextObjective objective(*model, set, loss, {}, &set, {});
  const double together = objective.backward(kBoth, 0.5, 0)[0];
  const at::Tensor gradient = model->parameters().flat_gradients().clone();
  double expected = 0, alone = 0;
  model->parameters().flat_gradients().zero_();
  for (const int64_t i : kBoth) {
    const at::Tensor ids = text_batch(set.texts, std::vector<int64_t>{i}, 0).ids;
    expected -= at::log_softmax(model->logits(ids), 1)[0][set.labels[static_cast<size_t>(i)]]
                    .item<double>();
    alone += objective.backward(std::vector<int64_t>{i}, 0.5, 0)[0];
  }
  EXPECT_NEAR(together, expected, 1e-5);
  EXPECT_NEAR(alone, expected, 1e-5);
  EXPECT_LT((model->parameters().flat_gradients() - gradient).abs().max().item<float>(), 1e-5f);
  EXPECT_NEAR(*objective.held_out(1), expected / 2, 1e-5);
}

TEST(TextObjective, GradientsAreThoseOfFiniteDifferences) {
  const auto model = load("bert_cls");
  TextSet set;
  set.texts = windows_of({{2, 17, 9, 3}, {2, 40, 41, 3}});
  set.labels = {1, 1};
  const CrossEntropy loss;
  TextObjective objective(*model, set, loss, {}, nullptr, {});
  objective.backward(kBoth, 1, 0);
  const ParameterStore& store = model->parameters();
  for (const char* name : {"classifier.weight", "classifier.bias", "bert.pooler.dense.weight"}) {
    const at::Tensor value = store.value(store.find(name)).view({-1});
    const float expected = store.gradient(store.find(name)).view({-1})[1].item<float>();
    const float step = 1e-2f, before = value[1].item<float>();
    const auto loss_at = [&](float x) {
      value[1] = x;
      model->refresh();
      const at::NoGradGuard no_grad;
      return -at::log_softmax(model->logits(text_batch(set.texts, kBoth, 0)), 1)
                  .select(1, 1)
                  .sum()
                  .item<double>();
    };
    const double slope = (loss_at(before + step) - loss_at(before - step)) / (2.0 * step);
    loss_at(before);
    EXPECT_NEAR(slope, expected, 2e-3) << name;
  }
}

TEST(PairObjective, CountsEqualTextsAsNoMistakes) {
  const auto model = load("bert_embed");
  TextSet pairs;
  pairs.texts = windows_of({{2, 17, 9, 3}, {2, 40, 41, 3}});
  pairs.partners = windows_of({{2, 8, 3}, {2, 8, 3}});
  PairObjective same(*model, pairs, &pairs, 2);
  EXPECT_DOUBLE_EQ(*same.held_out(2), 0);
  pairs.partners = windows_of({{2, 8, 3}, {2, 99, 100, 3}});
  PairObjective different(*model, pairs, &pairs, 2);
  const auto unit = [&](const TokenWindows& texts) {
    const at::Tensor v = model->logits(text_batch(texts, kBoth, 0));
    return v / v.norm(2, 1, true);
  };
  const at::Tensor scores = at::matmul(unit(pairs.texts), unit(pairs.partners).t()) * 20;
  const double expected = -at::log_softmax(scores, 1).diagonal().sum().item<double>();
  EXPECT_NEAR(different.backward(kBoth, 1, 0)[0], expected, 1e-4);
  EXPECT_GT(model->parameters().flat_gradients().abs().sum().item<float>(), 0);
  EXPECT_THROW(PairObjective(*model, pairs, nullptr, 1), std::exception);
}

TEST(Cosine, GradientIsThatOfFiniteDifferences) {
  const distill::LossInfo cosine = distill::cosine_loss();
  std::vector<float> student = {0.5f, -1, 2, 0.25f};
  const std::vector<float> teacher = {1, 1, -0.5f, 3};
  distill::LossRow row;
  row.vocab = 4;
  row.student = student.data();
  row.teacher = teacher.data();
  std::vector<float> gradient(4, 0), ignored(4, 0);
  EXPECT_GT(cosine.row(row, 2, gradient.data()), 0);
  for (size_t i = 0; i < student.size(); ++i) {
    const float before = student[i], step = 1e-3f;
    student[i] = before + step;
    const double above = cosine.row(row, 1, ignored.data());
    student[i] = before - step;
    const double below = cosine.row(row, 1, ignored.data());
    student[i] = before;
    EXPECT_NEAR(2 * (above - below) / (2.0 * step), gradient[i], 1e-3) << i;
  }
  EXPECT_NEAR(cosine.row({.vocab = 4, .student = teacher.data(), .teacher = teacher.data()}, 1,
                         ignored.data()),
              0, 1e-12);
}

/// Recipes on a golden encoder, by the command.
class EncoderStages : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::make_test_directory("encoder-stages");
    std::string csv = "text,label\n", pairs = "question,answer\n";
    for (int i = 0; i < 24; ++i) {
      const bool good = i % 2 == 0;
      csv += std::string(good ? "a the of" : "in and to") + (i % 3 == 0 ? " a" : " the") +
             (good ? ",good\n" : ",bad\n");
      pairs += std::string(i % 2 ? "a the" : "of in") + (i % 3 ? " to" : " and") + "," +
               (i % 2 ? "the a\n" : "in of\n");
    }
    write("texts.csv", csv);
    write("pairs.csv", pairs);
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& name, const std::string& content) {
    std::ofstream(root_ / name) << content;
  }
  testing::CommandResult run(const std::string& fixture, const std::string& stages,
                             const std::string& rest = "") {
    testing::make_encoder(fixture, root_ / fixture);
    write("recipe.yaml",
          "attar: 1\nname: t\nseed: 5\noutput: run\nmodel: " + fixture +
              "\ndata:\n  texts: {path: texts.csv, label: label}\n"
              "  pairs: {path: pairs.csv, field: question, pair: answer}\nstages:\n" +
              stages + rest);
    return attar({"run", "recipe.yaml", "--quiet"}, root_);
  }
  ordered_json report() const {
    return ordered_json::parse(testing::slurp(root_ / "run/report.json"));
  }

  fs::path root_;
};

TEST_F(EncoderStages, TakeAClassifierFromNewLabelsToFourBits) {
  const auto result =
      run("bert_embed",
          "  - {name: teacher, type: train, labels: data, data: texts, steps: 30, batch: 8, "
          "learning_rate: 5.0e-3, dtype: fp32}\n"
          "  - {name: slim, type: prune, method: width, keep: {ffn: 0.5}, data: texts}\n"
          "  - {name: student, type: distill, teacher: teacher, data: texts, steps: 20, batch: 8}\n"
          "  - {name: adapted, type: lora, data: texts, rank: 2, steps: 4, batch: 8}\n"
          "  - {name: int4, type: quantize, method: gptq, group_size: 32, data: texts}\n",
          "evaluate: {data: texts, reference: teacher, metrics: [accuracy], models: [teacher, "
          "student, adapted, int4]}\n");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const ordered_json json = report();
  EXPECT_EQ(json["stages"][0]["facts"]["labels"], (ordered_json{"bad", "good"}));
  EXPECT_EQ(json["stages"][0]["facts"]["new_layers"][0], "classifier");
  int measured = 0;
  for (const auto& row : json["evaluation"]) {
    if (row["metric"] != "accuracy") continue;
    EXPECT_EQ(row["value"], 1.0) << row["model"];
    ++measured;
  }
  EXPECT_EQ(measured, 4);
  // The adapter has PEFT's layout, works on its base and gives what the merged model gives.
  const auto config =
      ordered_json::parse(testing::slurp(root_ / "run/adapted/adapter/adapter_config.json"));
  EXPECT_EQ(config["task_type"], "SEQ_CLS");
  EXPECT_EQ(config["modules_to_save"], (ordered_json{"classifier"}));
  const auto file = Safetensors::open(root_ / "run/adapted/adapter/adapter_model.safetensors");
  EXPECT_NE(file.find("base_model.model.classifier.weight"), nullptr);
  const auto merged = attar({"classify", "run/adapted/model", "--text", "a the of"}, root_);
  EXPECT_NE(merged.out.find("good"), std::string::npos) << merged.out << merged.err;
  const auto both = attar(
      {"eval", "whole=run/adapted/model", "parts=run/student/model+adapter=run/adapted/adapter",
       "--data", "texts.csv", "--label", "label", "--reference", "run/adapted/model", "--metrics",
       "agreement", "--json"},
      root_);
  EXPECT_EQ(both.exit_code, 0) << both.err;
}

TEST_F(EncoderStages, TrainAnEmbedderOnPairsAndTowardsATeacher) {
  const auto result =
      run("bert_embed",
          "  - {name: tuned, type: train, data: pairs, steps: 6, batch: 4}\n"
          "  - {name: slim, type: prune, method: width, keep: {ffn: 0.5}, data: pairs}\n"
          "  - {name: student, type: distill, teacher: tuned, data: pairs, steps: 6, batch: 4}\n"
          "  - {name: adapted, type: lora, data: pairs, rank: 2, steps: 2, batch: 4}\n");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const ordered_json stages = report()["stages"];
  for (const size_t i : {0, 2})
    EXPECT_LT(stages[i]["facts"]["last_loss"], stages[i]["facts"]["first_loss"]) << i;
  EXPECT_EQ(open_model(root_ / "run/adapted/model").spec.task, Task::embed);
}

TEST_F(EncoderStages, SayWhatIsMissing) {
  const auto refused = [&](const std::string& fixture, const std::string& stage,
                           std::initializer_list<const char*> parts) {
    fs::remove_all(root_ / "run");
    const auto result = run(fixture, "  - {name: s, " + stage + "}\n");
    EXPECT_EQ(result.exit_code, 2) << stage << "\n" << result.err;
    for (const char* part : parts)
      EXPECT_NE(result.err.find(part), std::string::npos) << part << " in\n" << result.err;
    EXPECT_FALSE(fs::exists(root_ / "run/s/model"));
  };
  refused("bert_cls", "type: train, data: texts, steps: 1", {"texts.csv:2", "\"good\""});
  refused("bert_cls", "type: train, data: pairs, steps: 1", {"label"});
  refused("bert_embed", "type: train, data: texts, steps: 1", {"pairs of texts"});
  refused("bert_embed", "type: train, data: pairs, steps: 1, batch: 1", {"batch"});
  refused("bert_cls", "type: distill, teacher: model, data: pairs, steps: 1",
          {"'ce' needs labels", "{kl: 1}"});
  refused("bert_embed", "type: distill, teacher: model, data: pairs, steps: 1, loss: {kl: 1}",
          {"'kl' does not fit", "cosine"});
}

}  // namespace
}  // namespace attar
