// Evaluation of the golden models: values from reference logits, independence of threads and of
// company, resume, and bad input.
#include "eval/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/base/threads.h"
#include "compress/formats/model_writer.h"
#include "compress/formats/safetensors.h"
#include "eval/metrics/metrics.h"
#include "tests/support/fixtures.h"
#include "tests/support/run_command.h"

namespace attar::eval {
namespace {

using ::testing::HasSubstr;

fs::path golden(const std::string& name) {
  return fs::path(ATTAR_SOURCE_DIR) / "tests" / "golden" / name;
}

/// Mean loss over all predictions of reference logits [2, 24, vocab].
double golden_loss(const fs::path& model) {
  const auto file = Safetensors::open(model / "golden.safetensors");
  const auto ids = file.at("input_ids").integers();
  const auto logits = file.at("logits").floats();
  const size_t length = 24, vocab = logits.size() / ids.size();
  double sum = 0;
  int64_t count = 0;
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    if (i % length == length - 1) continue;
    const float* row = logits.data() + i * vocab;
    double total = 0;
    for (size_t v = 0; v < vocab; ++v) total += std::exp(static_cast<double>(row[v]));
    sum += std::log(total) - static_cast<double>(row[ids[i + 1]]);
    ++count;
  }
  return sum / static_cast<double>(count);
}

class Evaluate : public ::testing::Test {
 protected:
  void SetUp() override { root_ = attar::testing::make_test_directory("evaluate"); }
  void TearDown() override { fs::remove_all(root_); }

  EvaluationRequest request(const std::vector<std::string>& models) {
    EvaluationRequest request;
    for (const auto& name : models) request.models.push_back({name, golden(name)});
    request.data.path = golden(models[0]) / "golden.safetensors";
    request.data.format = "ids";
    request.metrics = {"perplexity"};
    request.seed = 3;
    return request;
  }

  /// A copy of a golden model whose weights went through `change`.
  fs::path changed(const std::string& name,
                   const std::function<void(std::vector<float>&)>& change) {
    const fs::path directory = root_ / ("changed-" + std::to_string(++copies_));
    fs::create_directories(directory);
    fs::copy_file(golden(name) / "config.json", directory / "config.json");
    const auto file = Safetensors::open(golden(name) / "model.safetensors");
    std::vector<SafetensorsWriter::Declaration> plan;
    for (const auto& tensor : file.tensors())
      plan.push_back({tensor.name, DType::f32, tensor.shape});
    SafetensorsWriter writer(directory / "model.safetensors", plan, {{"format", "pt"}});
    for (const auto& tensor : file.tensors()) {
      auto values = tensor.floats();
      change(values);
      writer.write_floats(tensor.name, values);
    }
    writer.finish();
    return directory;
  }

  std::string error_of(const EvaluationRequest& request) {
    try {
      evaluate(request);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::bad_input) << e.what();
      return e.block();
    }
    return "";
  }

  fs::path root_;
  int copies_ = 0;
};

std::vector<EvaluationRow> rows_of(const EvaluationRequest& request) {
  return evaluate(request).rows;
}

const EvaluationRow& row(const std::vector<EvaluationRow>& rows, const std::string& model,
                         const std::string& metric) {
  for (const auto& r : rows)
    if (r.model == model && r.metric == metric) return r;
  ADD_FAILURE() << "no row " << model << " " << metric;
  return rows.at(0);
}

class EveryFamily : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryFamily, PerplexityEqualsTheReferenceLogits) {
  const std::string model = GetParam();
  ATTAR_NEEDS_FIXTURE(model);
  EvaluationRequest request;
  request.models = {{model, fixture(model)}};
  request.data.path = fixture(model) / "golden.safetensors";
  request.data.format = "ids";
  request.metrics = {"perplexity"};
  const auto rows = evaluate(request).rows;
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_NEAR(rows[0].value / std::exp(golden_loss(fixture(model))), 1, 5e-6);
  EXPECT_EQ(rows[0].n, 46);
  EXPECT_EQ(rows[0].protocol, "gptq");
  EXPECT_TRUE(rows[0].ci_low && *rows[0].ci_low <= rows[0].value);
  EXPECT_TRUE(rows[0].ci_high && *rows[0].ci_high >= rows[0].value);
  EXPECT_EQ(rows[0].details["windows"], 2);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, EveryFamily,
                         ::testing::Values("llama_gqa", "llama_tied", "llama_llama3rope",
                                           "mistral_swa", "smollm3_nope", "qwen2", "qwen3",
                                           "qwen3_next", "qwen3_5_text", "phi3_default",
                                           "phi3_longrope", "gemma2", "gemma3_text", "gpt2",
                                           "gpt_neox"),
                         [](const auto& test) { return std::string(test.param); });

TEST_F(Evaluate, AModelIsItself) {
  auto r = request({"llama_gqa"});
  r.models.push_back({"again", golden("llama_gqa")});
  r.reference = r.models[0];
  r.metrics = {"perplexity", "kl", "top1", "delta_p"};
  const auto rows = rows_of(r);
  for (const char* model : {"llama_gqa", "again"}) {
    EXPECT_EQ(row(rows, model, "kl_mean").value, 0);
    EXPECT_EQ(row(rows, model, "kl_max").value, 0);
    EXPECT_EQ(row(rows, model, "top1_agreement").value, 1);
    EXPECT_EQ(row(rows, model, "rms_delta_p").value, 0);
    EXPECT_EQ(row(rows, model, "kl_mean").reference, "llama_gqa");
  }
}

TEST_F(Evaluate, NoiseShowsInEveryRelativeMetric) {
  auto r = request({"llama_gqa"});
  const auto noisy = changed("llama_gqa", [](std::vector<float>& values) {
    for (size_t i = 0; i < values.size(); i += 3) values[i] *= 1.05f;
  });
  r.models.push_back({"noisy", noisy});
  r.reference = r.models[0];
  r.metrics = {"kl", "top1", "delta_p", "perplexity"};
  const auto rows = rows_of(r);
  const double mean = row(rows, "noisy", "kl_mean").value;
  EXPECT_GT(mean, 0);
  EXPECT_LE(row(rows, "noisy", "kl_p50").value, row(rows, "noisy", "kl_p90").value);
  EXPECT_LE(row(rows, "noisy", "kl_p90").value, row(rows, "noisy", "kl_p99").value);
  EXPECT_LE(row(rows, "noisy", "kl_p99").value, row(rows, "noisy", "kl_p99_9").value);
  EXPECT_LE(row(rows, "noisy", "kl_p99_9").value, row(rows, "noisy", "kl_max").value);
  EXPECT_LE(*row(rows, "noisy", "kl_mean").ci_low, mean);
  EXPECT_GE(*row(rows, "noisy", "kl_mean").ci_high, mean);
  EXPECT_GT(row(rows, "noisy", "rms_delta_p").value, 0);
  const auto& paired = row(rows, "noisy", "perplexity").details["paired"];
  EXPECT_NEAR(paired["ratio"].get<double>(),
              row(rows, "noisy", "perplexity").value / row(rows, "llama_gqa", "perplexity").value,
              1e-9);
}

TEST_F(Evaluate, ValuesDoNotDependOnThreadsCompanyOrOrder) {
  const auto noisy = changed("llama_gqa", [](std::vector<float>& values) {
    for (float& v : values) v *= 1.01f;
  });
  auto r = request({"llama_gqa"});
  r.models.push_back({"noisy", noisy});
  r.reference = r.models[0];
  r.metrics = {"perplexity", "kl", "top1"};
  const int before = thread_count();
  set_thread_count(1);
  const auto one = rows_of(r);
  set_thread_count(3);
  std::swap(r.models[0], r.models[1]);
  const auto three = rows_of(r);
  r.models.resize(1);
  const auto alone = rows_of(r);
  set_thread_count(before);
  for (const char* metric : {"perplexity", "kl_mean", "kl_p99", "top1_agreement"}) {
    EXPECT_EQ(to_json(row(one, "noisy", metric)), to_json(row(three, "noisy", metric))) << metric;
    EXPECT_EQ(to_json(row(one, "noisy", metric)), to_json(row(alone, "noisy", metric))) << metric;
  }
}

TEST_F(Evaluate, SizeCountsEverything) {
  auto r = request({"llama_tied"});
  r.metrics = {"size", "parameters"};
  const auto rows = rows_of(r);
  const auto bytes = fs::file_size(golden("llama_tied") / "model.safetensors");
  EXPECT_EQ(row(rows, "llama_tied", "model_bytes").value, static_cast<double>(bytes));
  EXPECT_EQ(row(rows, "llama_tied", "bits_per_weight").value, 32);
  EXPECT_GT(row(rows, "llama_tied", "parameters").value, 1000);
}

TEST_F(Evaluate, SpeedAndMemoryAreMeasured) {
  auto r = request({"llama_gqa"});
  r.metrics = {"speed", "peak_rss_bytes"};
  const auto rows = rows_of(r);
  ASSERT_EQ(rows.size(), 6u);
  for (const auto& measured : rows) {
    EXPECT_GT(measured.value, 0);
    EXPECT_TRUE(measured.details.contains("method"));
  }
}

TEST_F(Evaluate, RowNamesChooseRows) {
  auto r = request({"llama_gqa"});
  r.reference = r.models[0];
  r.metrics = {"kl_p99", "kl_mean"};
  const auto rows = rows_of(r);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].metric, "kl_mean");
  EXPECT_EQ(rows[1].metric, "kl_p99");
}

TEST_F(Evaluate, FinishedRowsAreReused) {
  auto r = request({"llama_gqa"});
  r.reference = r.models[0];
  r.metrics = {"perplexity", "kl"};
  r.cache = root_ / "cache";
  const auto first = rows_of(r);
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(r.cache / "rows")) ++entries;
  EXPECT_EQ(entries, 2u);
  const auto before = fs::last_write_time(fs::directory_iterator(r.cache / "rows")->path());
  r.models[0].name = r.reference->name = "renamed";
  const auto second = rows_of(r);
  EXPECT_EQ(fs::last_write_time(fs::directory_iterator(r.cache / "rows")->path()), before);
  ASSERT_EQ(first.size(), second.size());
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(second[i].model, "renamed");
    EXPECT_EQ(second[i].value, first[i].value);
  }
  // A damaged entry is computed again.
  for (const auto& entry : fs::directory_iterator(r.cache / "rows"))
    write_file(entry.path(), "{\"rows\": [");
  EXPECT_EQ(rows_of(r)[0].value, first[0].value);
}

TEST_F(Evaluate, RefusesWhatMakesNoSense) {
  auto twice = request({"llama_gqa", "llama_gqa"});
  EXPECT_THAT(error_of(twice), HasSubstr("two models are named 'llama_gqa'"));

  auto unknown = request({"llama_gqa"});
  unknown.metrics = {"perplexty"};
  EXPECT_THAT(error_of(unknown), HasSubstr("did you mean 'perplexity'"));

  auto alone = request({"llama_gqa"});
  alone.metrics = {"kl"};
  EXPECT_THAT(error_of(alone), HasSubstr("needs a reference"));

  auto long_window = request({"llama_gqa"});
  SafetensorsWriter writer(root_ / "long.safetensors", {{"input_ids", DType::i64, {1, 100000}}});
  const std::vector<int64_t> ids(100000, 1);
  writer.write("input_ids", std::as_bytes(std::span(ids)));
  writer.finish();
  long_window.data.path = root_ / "long.safetensors";
  long_window.window = 90000;
  EXPECT_THAT(error_of(long_window), HasSubstr("longer than"));
}

TEST_F(Evaluate, RefusesAReferenceOfAnotherVocabulary) {
  auto r = request({"llama_gqa"});
  const fs::path stories = fs::path(ATTAR_SOURCE_DIR) / ".." / "shared" / "models/stories260K-hf";
  if (!fs::exists(stories)) GTEST_SKIP() << "needs " << stories;
  r.reference = EvaluationModel{"stories", stories};
  r.metrics = {"kl"};
  EXPECT_THAT(error_of(r), HasSubstr("can't be compared"));
}

TEST_F(Evaluate, NamesTheModelAndPlaceOfALogitThatIsNotFinite) {
  auto r = request({"llama_gqa"});
  r.models[0] = {"broken", changed("llama_gqa", [](std::vector<float>& values) {
                   for (float& v : values) v *= 1e18f;
                 })};
  try {
    evaluate(r);
    FAIL() << "infinite logits were accepted";
  } catch (const Error& e) {
    EXPECT_THAT(e.what(), HasSubstr("model 'broken', window 0"));
    EXPECT_THAT(e.what(), HasSubstr("position"));
  }
}

TEST(Metrics, NamesAreDistinct) {
  std::set<std::string_view> names;
  for (const auto& metric : metrics()) {
    EXPECT_TRUE(names.insert(metric.name).second) << metric.name;
    // "accuracy" is classifiers' own and a row of tasks: a name asks for all that it stands for.
    EXPECT_THAT(find_metrics(metric.name), ::testing::Contains(&metric)) << metric.name;
    if (!metric.by_default) continue;
    for (const auto& name : metric.rows)
      EXPECT_THAT(find_metrics(name), ::testing::Contains(&metric)) << name;
  }
}

TEST_F(Evaluate, KeptReferencesAreFoundByLaterEvaluations) {
  const auto small = [&](float by) {
    return changed("llama_gqa", [by](std::vector<float>& values) {
      for (float& v : values) v *= 1 + by;
    });
  };
  auto r = request({"llama_gqa"});
  r.models = {{"near", small(0.01f)}};
  r.reference = EvaluationModel{"reference", golden("llama_gqa")};
  r.metrics = {"perplexity", "kl", "top1", "delta_p"};
  const auto exact = rows_of(r);
  r.reference_top_k = 32;
  r.distributions = root_ / "kept";
  const auto first = rows_of(r);
  const auto again = rows_of(r);
  ASSERT_EQ(first.size(), exact.size());
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(to_json(first[i]), to_json(again[i]));
    if (first[i].metric.starts_with("kl"))
      EXPECT_LE(first[i].value, exact[i].value * 1.01 + 1e-7) << first[i].metric;
    else
      EXPECT_EQ(first[i].value, exact[i].value) << first[i].metric;
  }
  const auto& kl = row(first, "near", "kl_mean");
  EXPECT_EQ(kl.details["reference_top_k"], 32);
  EXPECT_GT(kl.value, 0.3 * row(exact, "near", "kl_mean").value);
  EXPECT_FALSE(fs::is_empty(root_ / "kept"));
  r.metrics = {"distortion"};
  EXPECT_THAT(error_of(r), HasSubstr("hidden states"));
  r.reference.reset();
  r.metrics = {"perplexity"};
  EXPECT_THAT(error_of(r), HasSubstr("no reference"));
}

}  // namespace
}  // namespace attar::eval
