// The page of a run with many models and everything on it, in a real browser: no accessibility
// violation, no error, no request, no sideways scrolling, below a megabyte.
#include <gtest/gtest.h>

#include <cmath>

#include "compress/base/files.h"
#include "compress/pipeline/report.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;

EvaluationRow row(const std::string& model, const std::string& metric, double value,
                  const std::string& unit, const std::string& protocol = "") {
  EvaluationRow r;
  r.model = model;
  r.metric = metric;
  r.protocol = protocol;
  r.value = value;
  r.unit = unit;
  r.n = 118041;
  r.higher_is_better = unit == "tokens/s" || metric == "accuracy";
  r.ci_low = value * 0.97;
  r.ci_high = value * 1.03;
  r.details = {{"window", 512}, {"windows", 231}, {"tokenizer", std::string(64, 'a')}};
  return r;
}

void add_model(RunReport& report, const std::string& name, int index) {
  const double size = 30e6 / (1 + index), loss = 3.5 + 0.02 * index * index;
  auto& rows = report.evaluation;
  rows.push_back(row(name, "model_bytes", size, "bytes"));
  rows.push_back(row(name, "perplexity", std::exp(loss), "", "gptq"));
  if (index > 0)
    rows.back().details["paired"] = {{"reference", "teacher"},
                                     {"ratio", 1.01 + 0.01 * index},
                                     {"ratio_ci_low", 1.005},
                                     {"ratio_ci_high", 1.02},
                                     {"p_value", 0.0}};
  rows.push_back(row(name, "kl_mean", 0.003 * index, "nats", "gptq"));
  rows.back().reference = "teacher";
  rows.push_back(row(name, "accuracy", 0.6 - 0.01 * index, "fraction", "arc_easy"));
  rows.push_back(row(name, "decode_tokens_per_s", 100 + 20 * index, "tokens/s"));
  rows.push_back(row(name, "peak_rss_bytes", 2 * size, "bytes"));
  rows.push_back(row(name, "block_error", 0.01 * index, "fraction", "gptq"));
  rows.back().reference = "teacher";
  auto layers = Json::array();
  for (int b = 0; b < 32; ++b)
    layers.push_back({{"block", b}, {"relative_error", 0.001 * index * (b + 1)}});
  rows.back().details["layers"] = layers;
  rows.push_back(row(name, "generation_distinct", 0.9, "fraction", "greedy"));
  rows.back().details["samples"] = {
      {{"prompt", "Once upon a time"}, {"text", ", there was a little girl <b>&" + name}},
      {{"prompt", "One day"}, {"text", "a dog ran"}}};
}

RunReport example() {
  RunReport report;
  report.name = "a sweep of twelve models";
  report.command = "attar run recipe.yaml";
  report.recipe_sha256 = std::string(64, '5');
  report.host = {
      {"cpu", "a processor"}, {"features", {"avx2"}}, {"kernel", "avx2"}, {"threads", 2}};
  auto models = Json::array();
  for (int i = 0; i < 12; ++i) {
    const std::string name = i == 0 ? "teacher" : "int4-W4A16-" + std::to_string(16 * i);
    add_model(report, name, i);
    if (i == 0) continue;
    StageRow stage;
    stage.name = name;
    stage.type = "quantize";
    stage.from = "model";
    stage.status = i == 11 ? "failed" : "done";
    stage.options = {{"scheme", "W4A16"}, {"group_size", 16 * i}};
    stage.report.fallbacks.push_back({"channel scales", "mlp.down_proj", "172 columns"});
    stage.report.checks.push_back({"tensors", true, "75 tensors"});
    for (int l = 0; l < 56; ++l)
      stage.report.layers.push_back({{"module", "layers." + std::to_string(l)}, {"loss", 0.1 * l}});
    for (int s = 0; s < 300; ++s) stage.report.curves["loss"].push_back({10 * s, 4 - 0.005 * s});
    report.stages.push_back(stage);
    models.push_back({{"model", name},
                      {"settings", {{"int4.group_size", std::to_string(16 * i)}}},
                      {"beyond", i < 4 ? "model_bytes 9 MB" : ""}});
  }
  report.sweep = {{"axes", {{{"option", "int4.group_size"}, {"values", {"16", "32"}}}}},
                  {"models", models},
                  {"budget", {{"model_bytes", 8e6}}},
                  {"metric", "perplexity"},
                  {"recommended", "int4-W4A16-64"},
                  {"advice", {"Recommended: int4-W4A16-64."}}};
  report.notes = {"only 5 predictions: intervals are wide"};
  report.data.push_back({{"name", "validation"}, {"path", "held.txt"}, {"sha256", "b"}});
  return report;
}

TEST(ReportPage, StandsUpInABrowser) {
  const std::string page = render_html(example());
  EXPECT_LT(page.size(), 1'000'000u);
  for (const char* part : {"id=\"blocks\"", "id=\"samples\"", "id=\"sweep\"", "wrong answers"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  if (!fs::exists("/usr/bin/node")) GTEST_SKIP() << "needs node";
  const auto root = testing::make_test_directory("report-page");
  write_file(root / "report.html", page);
  const auto result = testing::run_command(
      {"/usr/bin/node", std::string(ATTAR_SOURCE_DIR) + "/tests/report_page/check.cjs",
       (root / "report.html").string()});
  fs::remove_all(root);
  if (result.exit_code == 77) GTEST_SKIP() << result.out;
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
}

}  // namespace
}  // namespace attar
