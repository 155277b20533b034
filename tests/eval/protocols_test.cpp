// Protocols and tasks end to end on a real small model, against sums written here over the logits
// that the runtime gives for whole texts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/threads.h"
#include "compress/runtime/model.h"
#include "eval/evaluate.h"
#include "tests/support/run_command.h"

namespace attar::eval {
namespace {

using ::testing::HasSubstr;

constexpr const char* kText =
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball. She wanted to play with it, but it was too high.\n"
    "Lily's mom said, \"Lily, let's go to the park.\" Lily was sad and did not know what to do.\n";

class Protocols : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::make_test_directory("protocols");
    model_ = testing::beside("models/stories260K-hf");
    if (!fs::exists(model_)) GTEST_SKIP() << "needs " << model_;
    tokenizer_ = Tokenizer::load(model_);
    runtime_ = RuntimeModel::load(open_model(model_));
    write_file(root_ / "text.txt", std::string(kText) + kText + kText + kText);
  }
  void TearDown() override { fs::remove_all(root_); }

  EvaluationRequest request(const std::vector<std::string>& metrics) {
    EvaluationRequest request;
    request.models = {{"stories", model_}};
    request.metrics = metrics;
    return request;
  }

  /// −log p of each id after the first `context`, given all before it, in float64.
  std::vector<double> losses(const std::vector<int32_t>& ids, size_t context) {
    Session session(runtime_);
    const auto vocab = static_cast<size_t>(runtime_->spec().vocab);
    std::vector<float> logits(ids.size() * vocab);
    session.advance_all(ids, logits.data());
    std::vector<double> found;
    for (size_t i = context; i < ids.size(); ++i) {
      const float* row = logits.data() + (i - 1) * vocab;
      double sum = 0;
      for (size_t v = 0; v < vocab; ++v) sum += std::exp(static_cast<double>(row[v]));
      found.push_back(std::log(sum) - static_cast<double>(row[ids[i]]));
    }
    return found;
  }

  static double total(const std::vector<double>& values) {
    double sum = 0;
    for (const double v : values) sum += v;
    return sum;
  }

  fs::path root_, model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const RuntimeModel> runtime_;
};

TEST_F(Protocols, RollingPerplexityCountsWordsAndBytesOfTheOriginal) {
  std::vector<std::string> documents = {kText, std::string(kText).substr(0, 60)};
  write_file(root_ / "d.jsonl", nlohmann::json{{"text", documents[0]}}.dump() + "\n" +
                                    nlohmann::json{{"text", documents[1]}}.dump() + "\n");
  auto r = request({"lm_eval_word", "perplexity:lm_eval_byte"});
  r.data.path = root_ / "d.jsonl";
  const auto rows = evaluate(r).rows;
  ASSERT_EQ(rows.size(), 2u);
  double loss = 0;
  for (const auto& document : documents) {
    auto ids = tokenizer_->encode(document, false);
    ids.insert(ids.begin(), *tokenizer_->bos());
    loss += total(losses(ids, 1));
  }
  const double words = 58 + 13, bytes = static_cast<double>(documents[0].size() + 60);
  EXPECT_EQ(rows[0].protocol, "lm_eval_word");
  EXPECT_EQ(rows[0].metric, "perplexity");
  EXPECT_EQ(rows[0].n, words);
  EXPECT_NEAR(std::log(rows[0].value) / (loss / words), 1, 1e-6);
  EXPECT_EQ(rows[1].protocol, "lm_eval_byte");
  EXPECT_EQ(rows[1].n, bytes);
  EXPECT_NEAR(std::log(rows[1].value) / (loss / bytes), 1, 1e-6);
  EXPECT_TRUE(rows[0].ci_low && *rows[0].ci_low <= rows[0].value);
}

TEST_F(Protocols, LlamaCppPredictsSecondHalves) {
  auto r = request({"llama_cpp"});
  r.data.path = root_ / "text.txt";
  std::string text = read_text(r.data.path);
  while (tokenizer_->encode(text).size() < 1100) text += text;
  write_file(r.data.path, text);
  const auto rows = evaluate(r).rows;
  ASSERT_EQ(rows.size(), 1u);
  const auto ids = tokenizer_->encode(text, true);
  const size_t chunks = ids.size() / 512;
  double loss = 0;
  for (size_t c = 0; c < chunks; ++c) {
    std::vector<int32_t> chunk(ids.begin() + static_cast<long>(c * 512),
                               ids.begin() + static_cast<long>((c + 1) * 512));
    chunk[0] = *tokenizer_->bos();
    loss += total(losses(chunk, 257));
  }
  const double count = static_cast<double>(chunks) * 255;
  EXPECT_EQ(rows[0].protocol, "llama_cpp");
  EXPECT_EQ(rows[0].n, count);
  EXPECT_NEAR(std::log(rows[0].value) / (loss / count), 1, 1e-6);
}

TEST_F(Protocols, ChoicesAreJudgedByTheirLikelihoods) {
  const std::vector<std::string> choices = {"girl named Lily.", "boat", "purple the of",
                                            "little dog"};
  nlohmann::json example = {{"query", "Once upon a time, there was a"}, {"choices", choices}};
  std::string file;
  std::vector<double> likelihoods;
  for (const auto& choice : choices) {
    const auto prompt = tokenizer_->encode("Once upon a time, there was a");
    const auto whole = tokenizer_->encode("Once upon a time, there was a " + choice);
    likelihoods.push_back(-total(losses(whole, prompt.size())));
  }
  const auto best = std::max_element(likelihoods.begin(), likelihoods.end()) - likelihoods.begin();
  // In three of four examples the model's favourite is marked as right.
  for (int i = 0; i < 4; ++i) {
    example["gold"] = i == 3 ? (best + 1) % 4 : best;
    file += example.dump() + "\n";
  }
  write_file(root_ / "c.jsonl", file);
  auto r = request({});
  r.tasks = {{"mine", "", {}}};
  r.tasks[0].data.path = root_ / "c.jsonl";
  r.metrics = {"accuracy"};
  for (const int threads : {1, 3}) {
    const int before = thread_count();
    set_thread_count(threads);
    const auto rows = evaluate(r).rows;
    set_thread_count(before);
    ASSERT_EQ(rows.size(), 1u);
    EXPECT_EQ(rows[0].metric, "accuracy");
    EXPECT_EQ(rows[0].protocol, "mine");
    EXPECT_EQ(rows[0].value, 0.75);
    EXPECT_EQ(rows[0].n, 4);
    EXPECT_TRUE(rows[0].higher_is_better);
    EXPECT_EQ(rows[0].details["shape"], "options");
  }
}

TEST_F(Protocols, SharedPromptsGiveTheBytesOfWholeTexts) {
  // The first choices share their beginning; alone, each is read as a whole.
  Sequences together, apart;
  const auto prompt = tokenizer_->encode(std::string(kText).substr(0, 120));
  for (const char* word : {" dog", " cat and more", " sun"}) {
    auto ids = prompt;
    const auto own = tokenizer_->encode(word, false);
    ids.insert(ids.end(), own.begin(), own.end());
    const auto first = std::ssize(prompt) - 1;
    together.add(ids, first);
    apart.add(ids, first);
    apart.close();
  }
  together.close();
  const std::vector<Runner> runners = {{"reference", runtime_}, {"model", runtime_}};
  const auto a = score(together, runners, {true, true}), b = score(apart, runners, {true, true});
  for (size_t m = 0; m < 2; ++m) {
    EXPECT_EQ(a[m].loss, b[m].loss);
    EXPECT_EQ(a[m].hit, b[m].hit);
    EXPECT_EQ(a[m].kl, b[m].kl);
  }
  EXPECT_EQ(a[0].units(), 1);
  EXPECT_EQ(b[0].units(), 3);
}

TEST_F(Protocols, LastWordsAndWrittenAnswers) {
  write_file(root_ / "l.txt",
             "Once upon a time, there was a little girl named Lily.\n"
             "Once upon a time, there was a little girl named Zebulon.\n");
  write_file(root_ / "g.jsonl", R"({"question":"1+1?","answer":"2\n#### 2"})");
  auto r = request({});
  r.reference = r.models[0];
  r.models.push_back({"again", model_});
  r.tasks = {{"words", "", {}}, {"sums", "", {}}};
  r.tasks[0].data.path = root_ / "l.txt";
  r.tasks[1].data.path = root_ / "g.jsonl";
  r.metrics = {"last_word", "exact_match"};
  r.cache = root_ / "cache";
  for (int pass = 0; pass < 2; ++pass) {  // the second comes from the cache
    const auto rows = evaluate(r).rows;
    ASSERT_EQ(rows.size(), 8u);
    EXPECT_EQ(rows[0].metric, "accuracy");
    EXPECT_EQ(rows[0].value, 0.5);  // Lily is whom this model's stories are about
    EXPECT_EQ(rows[1].metric, "perplexity");
    EXPECT_EQ(rows[1].protocol, "words");
    EXPECT_EQ(rows[2].metric, "exact_match");
    EXPECT_EQ(rows[2].value, 0);
    EXPECT_EQ(rows[4].details["paired"]["difference"], 0);
    EXPECT_EQ(rows[5].details["paired"]["ratio"], 1);
  }
}

TEST_F(Protocols, SamplesAndErrorByBlock) {
  auto r = request({"generation", "distortion"});
  r.data.path = root_ / "text.txt";
  r.window = 64;
  r.reference = r.models[0];
  const auto result = evaluate(r);
  const auto& rows = result.rows;
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].metric, "block_error");
  EXPECT_EQ(rows[0].value, 0);
  EXPECT_EQ(rows[0].details["layers"].size(), 5u);
  EXPECT_EQ(rows[1].metric, "generation_distinct");
  EXPECT_EQ(rows[2].metric, "generation_match");
  EXPECT_EQ(rows[2].value, 1);
  const auto& samples = rows[1].details["samples"];
  ASSERT_EQ(samples.size(), 4u);
  EXPECT_THAT(samples[0]["prompt"].get<std::string>(), HasSubstr("Once upon a time"));
  EXPECT_GT(samples[0]["text"].get<std::string>().size(), 20u);
  ASSERT_FALSE(result.notes.empty());
  EXPECT_THAT(result.notes[0], HasSubstr("intervals are wide"));
}

TEST_F(Protocols, SaysWhatIsMissing) {
  const auto error = [](const EvaluationRequest& request) -> std::string {
    try {
      evaluate(request);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::bad_input);
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(error(request({"accuracy"})), HasSubstr("needs a task"));
  EXPECT_THAT(error(request({"llama_cpp"})), HasSubstr("--data is missing"));
  EXPECT_THAT(error(request({})), HasSubstr("--data is missing"));
  auto ids = request({"lm_eval_word"});
  ids.data.path = root_ / "ids.safetensors";
  EXPECT_THAT(error(ids), HasSubstr("the data are ids"));
  auto tiny = request({"perplexity"});
  write_file(root_ / "tiny.txt", "Hi.");
  tiny.data.path = root_ / "tiny.txt";
  EXPECT_THAT(error(tiny), ::testing::AllOf(HasSubstr("tokens"), HasSubstr("one window needs")));
}

}  // namespace
}  // namespace attar::eval
