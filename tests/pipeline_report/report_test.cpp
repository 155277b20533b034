// Reports: what goes through report.json comes back, and what the renderings promise.
#include <gtest/gtest.h>

#include <limits>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "compress/pipeline/report.h"
#include "compress/pipeline/report_table.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

using Json = nlohmann::ordered_json;

EvaluationRow row(const std::string& model, const std::string& metric, double value,
                  const std::string& unit, const std::string& reference = "") {
  EvaluationRow r;
  r.model = model;
  r.metric = metric;
  r.protocol = reference.empty() ? "" : "gptq";
  r.value = value;
  r.unit = unit;
  r.n = 100;
  r.reference = reference;
  return r;
}

RunReport example() {
  RunReport report;
  report.name = "a run";
  report.recipe_sha256 = std::string(64, 'a');
  report.command = "attar run recipe.yaml";
  report.seed = 7;
  report.host = {
      {"cpu", "a processor"}, {"features", {"avx2"}}, {"kernel", "avx2"}, {"threads", 2}};
  StageRow stage;
  stage.name = "int4";
  stage.type = "quantize";
  stage.from = "model";
  stage.status = "done";
  stage.seconds = 61.5;
  stage.peak_rss_bytes = 123456789;
  stage.parameters = 7344384;
  stage.bytes_on_disk = 5000000;
  stage.bits_per_weight = 5.25;
  stage.options = {{"method", "gptq"}};
  stage.report.fallbacks.push_back({"channel scales", "mlp.down_proj", "172 columns"});
  stage.report.checks.push_back({"tensors", true, "75 tensors"});
  stage.report.layers.push_back({{"module", "mlp.up_proj"}, {"loss", 0.25}});
  stage.report.facts["tokens"] = 512;
  stage.report.curves["loss"] = {{0, 4.0}, {10, 3.5}};
  report.stages.push_back(stage);
  for (const auto& [model, bytes, ppl, kl] :
       {std::tuple("teacher", 30e6, 35.0, 0.0), std::tuple("int4", 5e6, 36.0, 0.01)}) {
    report.evaluation.push_back(row(model, "model_bytes", bytes, "bytes"));
    report.evaluation.push_back(row(model, "perplexity", ppl, ""));
    report.evaluation.back().ci_low = ppl - 1;
    report.evaluation.back().ci_high = ppl + 1;
    report.evaluation.push_back(row(model, "kl_mean", kl, "nats", "teacher"));
  }
  report.notes.push_back("a gate was missed");
  report.data.push_back({{"name", "validation"}, {"path", "held.txt"}, {"sha256", "b"}});
  return report;
}

TEST(Report, ComesBackFromJson) {
  const Json json = to_json(example());
  EXPECT_EQ(to_json(report_from_json(Json::parse(json.dump()))), json);
}

TEST(Report, HasTheFieldsThatMachinesRead) {
  const Json json = to_json(example());
  for (const char* key : {"schema", "name", "attar_version", "seed", "recipe_sha256"})
    EXPECT_TRUE(json.contains(key)) << key;
  for (const char* key : {"cpu", "features", "kernel", "threads"}) {
    EXPECT_TRUE(json["host"].contains(key)) << key;
    EXPECT_TRUE(describe_host().contains(key)) << key;
  }
  for (const char* key :
       {"name", "type", "status", "seconds", "peak_rss_bytes", "parameters", "bytes_on_disk",
        "bits_per_weight", "fallbacks", "verification", "layers"})
    EXPECT_TRUE(json["stages"][0].contains(key)) << key;
  EXPECT_EQ(json["stages"][0]["verification"]["passed"], true);
  for (const char* key :
       {"model", "metric", "protocol", "value", "ci_low", "ci_high", "unit", "n", "reference"})
    EXPECT_TRUE(json["evaluation"][0].contains(key)) << key;
}

TEST(Report, AFailedCheckIsAFailedVerification) {
  RunReport report = example();
  report.stages[0].report.checks.push_back({"logits", false, "they differ"});
  EXPECT_EQ(to_json(report)["stages"][0]["verification"]["passed"], false);
  EXPECT_NE(render_markdown(report).find("FAILED in int4: logits"), std::string::npos);
  EXPECT_NE(render_html(report).find("1 failed"), std::string::npos);
}

TEST(Report, RefusesWhatIsNoReport) {
  EXPECT_THROW(report_from_json(Json::parse("[]")), Error);
  EXPECT_THROW(report_from_json(Json::parse("{}")), Error);
  EXPECT_THROW(report_from_json(Json::parse(R"({"schema": "attar-report/9"})")), Error);
  Json json = to_json(example());
  json["stages"][0].erase("seconds");
  try {
    report_from_json(json, "run/report.json");
    FAIL() << "a report without a field was read";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ExitCode::bad_input);
    EXPECT_EQ(e.where(), "run/report.json");
  }
}

TEST(Report, KeepsANumberThatIsNotFinite) {
  RunReport report = example();
  report.evaluation[0].value = std::numeric_limits<double>::infinity();
  const RunReport back = report_from_json(Json::parse(to_json(report).dump()));
  EXPECT_FALSE(std::isfinite(back.evaluation[0].value));
  EXPECT_NE(render_summary(back).find("not finite"), std::string::npos);
}

TEST(Html, IsOneFileWithoutNetwork) {
  const std::string page = render_html(example());
  for (const char* word : {"<link", "src=", "@import", "url(", "https:", "fetch("})
    EXPECT_EQ(page.find(word), std::string::npos) << word;
  EXPECT_NE(page.find("prefers-color-scheme: dark"), std::string::npos);
  EXPECT_NE(page.find("@media print"), std::string::npos);
  EXPECT_NE(page.find("6.00 × smaller"), std::string::npos);
  EXPECT_NE(page.find("2.86 % higher"), std::string::npos);
}

TEST(Html, ShowsEveryFallbackNoteAndHash) {
  const std::string page = render_html(example());
  for (const char* text : {"channel scales", "172 columns", "a gate was missed", "held.txt",
                           "attar run recipe.yaml", "aaaaaaaa"})
    EXPECT_NE(page.find(text), std::string::npos) << text;
}

TEST(Html, EscapesWhatComesFromOutside) {
  RunReport report = example();
  const std::string evil = "<script>alert('x')</script>\"&";
  report.name = report.command = report.stages[0].name = evil;
  report.notes = {evil};
  report.stages[0].options[evil] = evil;
  report.stages[0].report.layers[0]["module"] = evil;
  report.stages[0].report.layers[0][evil] = evil;
  report.stages[0].report.curves[evil + "loss"] = {{0, 1}, {1, 2}};
  for (auto& r : report.evaluation) r.model = r.protocol = evil + r.model;
  EXPECT_EQ(render_html(report).find("<script>alert"), std::string::npos);
}

TEST(Html, ManagesWithNothing) {
  EXPECT_NE(render_html(RunReport()).find("</html>"), std::string::npos);
  EXPECT_FALSE(render_markdown(RunReport()).empty());
  EXPECT_FALSE(render_summary(RunReport()).empty());
  RunReport odd = example();  // shapes that no stage writes today
  odd.stages[0].report.curves = {{"loss", "none"}, {"kl", {{0}, {1, nullptr}}}};
  odd.stages[0].report.layers = {1, "two"};
  odd.evaluation[0].details = {{"paired", 3}};
  EXPECT_NE(render_html(odd).find("</html>"), std::string::npos);
}

TEST(Markdown, HasATableOfModelsAndSurvivesPipes) {
  RunReport report = example();
  for (auto& r : report.evaluation)
    if (r.model == "int4") r.model = "a|b";
  const std::string text = render_markdown(report);
  EXPECT_NE(text.find("| a\\|b | 5.0 MB | 36.000 ± 1.0 | 0.0100 |"), std::string::npos) << text;
  EXPECT_NE(text.find("| teacher (reference) |"), std::string::npos) << text;
}

TEST(Summary, LinesAreEquallyLong) {
  std::istringstream lines(render_summary(example()));
  std::string head, line;
  std::getline(lines, head);
  for (int i = 0; i < 2; ++i) {
    std::getline(lines, line);
    EXPECT_EQ(line.size(), head.size()) << line;
  }
}

TEST(Numbers, AreWrittenForPeople) {
  using namespace report;
  EXPECT_EQ(with_commas(-1234567), "-1,234,567");
  EXPECT_EQ(with_commas(-123), "-123");
  EXPECT_EQ(with_commas(100), "100");
  EXPECT_EQ(significant(35.39507, 5), "35.395");
  EXPECT_EQ(significant(0.007, 3), "0.00700");
  EXPECT_EQ(significant(0.000015, 3), "1.50e-05");
  EXPECT_EQ(format_value(7344384, "count"), "7.344 M");
  EXPECT_EQ(format_value(4352, "count"), "4,352");
  EXPECT_EQ(format_value(0.9291, "fraction"), "92.91 %");
  EXPECT_EQ(format_seconds(61.5), "1 min 02 s");
}

TEST(WriteReport, LeavesThreeFiles) {
  const auto directory = testing::make_test_directory("write-report");
  write_report(example(), directory);
  for (const char* name : {"report.json", "report.md", "report.html"})
    EXPECT_TRUE(fs::exists(directory / name)) << name;
  const Json json = Json::parse(read_text(directory / "report.json"));
  EXPECT_EQ(json, to_json(example()));
  fs::remove_all(directory);
}

}  // namespace
}  // namespace attar
