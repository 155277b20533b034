// Classifiers and embedders measured on labelled texts, against values worked out here from the
// models' own results.
#include "eval/encoders.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "compress/base/error.h"
#include "compress/base/threads.h"
#include "compress/runtime/encoder.h"
#include "compress/tokenizer/tokenizer.h"
#include "eval/evaluate.h"
#include "tests/support/run_command.h"

namespace attar::eval {
namespace {

using testing::golden;
using ::testing::HasSubstr;

class EncoderMetrics : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::make_test_directory("encoder-metrics");
    for (int i = 0; i < 40; ++i) {
      std::string text;
      for (int word = 0; word <= i % 5; ++word)
        text += std::string(1, static_cast<char>('a' + (i * 7 + word * 3) % 26)) + "e ";
      texts_.push_back(text);
    }
  }
  void TearDown() override { fs::remove_all(root_); }

  /// A golden encoder with a WordPiece tokenizer whose ids fit its vocabulary.
  fs::path model(const std::string& fixture) {
    const fs::path directory = root_ / fixture;
    fs::create_directories(directory);
    for (const char* file : {"config.json", "model.safetensors"})
      fs::copy_file(golden(fixture) / file, directory / file, fs::copy_options::overwrite_existing);
    auto tokenizer = nlohmann::json::parse(
        testing::slurp(golden("tokenizers") / "bert_wordpiece" / "tokenizer.json"));
    auto& vocab = tokenizer["model"]["vocab"];
    for (auto entry = vocab.begin(); entry != vocab.end();)
      entry = *entry >= 256 ? vocab.erase(entry) : std::next(entry);
    write_file(directory / "tokenizer.json", tokenizer.dump());
    return directory;
  }

  std::vector<float> results(const fs::path& directory, const std::vector<std::string>& texts) {
    const auto encoder = EncoderModel::load(open_model(directory));
    const auto tokenizer = Tokenizer::load(directory);
    std::vector<float> all;
    for (const auto& text : texts) {
      const auto ids = tokenizer->encode_text(text, {}, 48);
      const TextIds one{ids.ids, ids.types};
      const auto result = encoder->run({&one, 1});
      all.insert(all.end(), result.begin(), result.end());
    }
    return all;
  }

  /// text,label (and pair), a row a text.
  DataSpec table(const std::vector<std::string>& labels,
                 const std::vector<std::string>& pairs = {}) {
    std::string content = pairs.empty() ? "text\tlabel\n" : "text\tother\tlabel\n";
    for (size_t i = 0; i < labels.size(); ++i)
      content += texts_[i] + "\t" + (pairs.empty() ? "" : pairs[i] + "\t") + labels[i] + "\n";
    DataSpec data;
    data.path = root_ / "data.tsv";
    if (!pairs.empty()) data.pair = "other";
    write_file(data.path, content);
    return data;
  }

  static EvaluationRequest request(const fs::path& model, DataSpec data,
                                   std::vector<std::string> metrics = {}) {
    EvaluationRequest request;
    request.models = {{"it", model}};
    request.data = std::move(data);
    request.metrics = std::move(metrics);
    return request;
  }
  static const EvaluationRow& row(const std::vector<EvaluationRow>& rows, const std::string& name) {
    for (const auto& r : rows)
      if (r.metric == name) return r;
    throw std::runtime_error("no row " + name);
  }
  static std::string refusal(const EvaluationRequest& request) {
    try {
      evaluate(request);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::bad_input) << error.block();
      return error.block();
    }
    return "no error";
  }

  fs::path root_;
  std::vector<std::string> texts_;
};

TEST_F(EncoderMetrics, CountRightAndWrongLabels) {
  const fs::path bert = model("bert_cls");
  const auto logits = results(bert, texts_);
  std::vector<std::string> labels;
  std::vector<size_t> chosen, truth;
  double right = 0;
  for (size_t i = 0; i < texts_.size(); ++i) {
    const auto first = logits.begin() + static_cast<long>(3 * i);
    chosen.push_back(static_cast<size_t>(std::max_element(first, first + 3) - first));
    truth.push_back(i % 4 == 0 ? (chosen[i] + 1) % 3 : chosen[i]);
    labels.push_back("LABEL_" + std::to_string(truth[i]));
    right += chosen[i] == truth[i];
  }
  auto r = request(bert, table(labels), {"accuracy", "f1_macro", "confusion"});
  const auto rows = evaluate(r).rows;
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(row(rows, "accuracy").value, right / 40);
  EXPECT_LT(*row(rows, "accuracy").ci_low, right / 40);
  EXPECT_EQ(row(rows, "wrong_labels").value, 40 - right);
  double f1 = 0, seen = 0;
  for (size_t label = 0; label < 3; ++label) {
    double hit = 0, sum = 0;
    for (size_t i = 0; i < 40; ++i) {
      hit += chosen[i] == label && truth[i] == label;
      sum += (chosen[i] == label) + (truth[i] == label);
    }
    if (sum == 0) continue;
    f1 += 2 * hit / sum;
    ++seen;
  }
  EXPECT_NEAR(row(rows, "f1_macro").value, f1 / seen, 1e-12);

  // By number, with other threads, the same.
  std::vector<std::string> numbers;
  for (const size_t label : truth) numbers.push_back(std::to_string(label));
  r.data = table(numbers);
  const int threads = thread_count();
  set_thread_count(3);
  const auto again = evaluate(r).rows;
  set_thread_count(threads);
  EXPECT_EQ(again[1].value, rows[1].value);
  EXPECT_EQ(again[1].ci_high, rows[1].ci_high);
  EXPECT_EQ(again[0].details["labels_read_as"], "indices");
}

TEST_F(EncoderMetrics, CompareClassifiersWithTheReference) {
  const fs::path bert = model("bert_cls");
  auto r = request(bert, table(std::vector<std::string>(40, "0")), {"agreement", "class_kl"});
  r.reference = EvaluationModel{"original", bert};
  const auto same = evaluate(r).rows;
  EXPECT_EQ(row(same, "top1_agreement").value, 1);
  EXPECT_EQ(row(same, "kl_mean").value, 0);
  EXPECT_EQ(row(same, "kl_mean").reference, "original");
}

TEST_F(EncoderMetrics, FindNeighbours) {
  const fs::path bert = model("bert_embed");
  auto vectors = results(bert, texts_);
  for (size_t i = 0; i < 40; ++i) normalize_vector(std::span(vectors).subspan(i * 64, 64));
  const auto cosine = [&](size_t a, size_t b) {
    double sum = 0;
    for (size_t d = 0; d < 64; ++d)
      sum += static_cast<double>(vectors[a * 64 + d]) * static_cast<double>(vectors[b * 64 + d]);
    return sum;
  };
  std::vector<std::string> labels;
  for (size_t i = 0; i < 40; ++i) labels.push_back(i % 2 == 0 ? "even" : "odd");
  double found = 0;
  for (size_t i = 0; i < 40; ++i) {
    size_t best = i == 0 ? 1 : 0;
    for (size_t j = 0; j < 40; ++j)
      if (j != i && cosine(i, j) > cosine(i, best)) best = j;
    found += labels[best] == labels[i];
  }
  const auto rows = evaluate(request(bert, table(labels), {"recall"})).rows;
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_NEAR(row(rows, "recall_at_1").value, found / 40, 0.051);  // near ties may fall otherwise
  EXPECT_GE(row(rows, "recall_at_5").value, row(rows, "recall_at_1").value);
  EXPECT_GE(row(rows, "recall_at_10").value, row(rows, "recall_at_5").value);

  // Each text's partner is itself.
  const auto own = evaluate(request(bert, table(labels, texts_), {"recall_at_1"})).rows;
  ASSERT_EQ(own.size(), 1u);
  EXPECT_EQ(own[0].value, 1);
}

TEST_F(EncoderMetrics, CorrelateRanks) {
  const fs::path bert = model("bert_embed");
  std::vector<std::string> others(texts_.rbegin(), texts_.rend()), scores;
  auto a = results(bert, texts_), b = results(bert, others);
  for (size_t i = 0; i < 40; ++i) {
    const auto x = std::span(a).subspan(i * 64, 64), y = std::span(b).subspan(i * 64, 64);
    normalize_vector(x);
    normalize_vector(y);
    double sum = 0;
    for (size_t d = 0; d < 64; ++d) sum += static_cast<double>(x[d]) * static_cast<double>(y[d]);
    scores.push_back(std::to_string(std::pow(sum, 3)));  // any growing function
  }
  const auto rows = evaluate(request(bert, table(scores, others), {"spearman"})).rows;
  EXPECT_NEAR(rows.at(0).value, 1, 1e-3);
  scores[3] = "high";
  EXPECT_THAT(refusal(request(bert, table(scores, others), {"spearman"})),
              HasSubstr("\"high\", is no number"));
}

TEST_F(EncoderMetrics, RefuseWhatDoesNotFit) {
  const fs::path bert = model("bert_cls"), embed = model("bert_embed");
  const auto labels = table(std::vector<std::string>(40, "LABEL_0"));
  EXPECT_THAT(refusal(request(bert, table({"LABEL_0", "LABEL_9"}), {"accuracy"})),
              ::testing::AllOf(HasSubstr("\"LABEL_9\" is none"), HasSubstr("data.tsv:3")));
  EXPECT_THAT(refusal(request(bert, labels, {"perplexity"})), HasSubstr("models that write text"));
  EXPECT_THAT(refusal(request(bert, labels, {"recall"})), HasSubstr("is for embedders"));
  EXPECT_THAT(refusal(request(embed, labels, {"accuracy"})), HasSubstr("is for classifiers"));
  EXPECT_THAT(refusal(request(bert, labels, {"agreement"})), HasSubstr("needs a reference"));
  EXPECT_THAT(refusal(request(bert, {}, {"accuracy"})), HasSubstr("needs --data"));
  auto mixed = request(bert, labels);
  mixed.models.push_back({"other", embed});
  EXPECT_THAT(refusal(mixed), HasSubstr("cannot be measured together"));
  mixed.models[1] = {"other", golden("llama_gqa")};
  EXPECT_THAT(refusal(mixed), HasSubstr("cannot be measured together"));

  texts_[1] = std::string(400, 'x') + " " + std::string(400, 'y');
  for (int i = 0; i < 60; ++i) texts_[1] += " a";
  auto long_text = request(bert, table(std::vector<std::string>(40, "LABEL_0")), {"accuracy"});
  EXPECT_THAT(refusal(long_text),
              ::testing::AllOf(HasSubstr("and 'it' takes 48"), HasSubstr("data.tsv:3")));
  long_text.window = 48;
  const auto result = evaluate(long_text);
  EXPECT_EQ(result.rows.at(0).details["texts_cut"], 1);
  EXPECT_THAT(result.notes, ::testing::Contains(HasSubstr("1 texts were cut")));
}

TEST_F(EncoderMetrics, FinishedRowsAreReused) {
  auto r = request(model("bert_cls"), table(std::vector<std::string>(40, "1")), {"accuracy"});
  r.cache = root_ / "cache";
  const auto first = evaluate(r).rows;
  const auto entries = std::distance(fs::directory_iterator(r.cache / "rows"), {});
  EXPECT_EQ(entries, 1);
  r.models[0].name = "renamed";
  const auto second = evaluate(r).rows;
  EXPECT_EQ(second[0].model, "renamed");
  EXPECT_EQ(second[0].value, first[0].value);
  r.seed = 3;
  evaluate(r);
  EXPECT_EQ(std::distance(fs::directory_iterator(r.cache / "rows"), {}), 2);
}

}  // namespace
}  // namespace attar::eval
