// What a sweep recommends, and the card that goes with a model.
#include <gtest/gtest.h>

#include "compress/base/files.h"
#include "compress/pipeline/model_card.h"
#include "compress/pipeline/sweep.h"
#include "tests/support/run_command.h"

namespace attar {
namespace {

EvaluationRow row(const std::string& model, const std::string& metric, double value,
                  const std::string& unit) {
  EvaluationRow r;
  r.model = model;
  r.metric = metric;
  r.value = value;
  r.unit = unit;
  r.higher_is_better = metric == "accuracy";
  return r;
}

SweepSpec spec() {
  SweepSpec sweep;
  sweep.axes = {{"int4", "group_size", {"32", "64", "128"}}};
  for (const char* value : {"32", "64", "128"})
    sweep.settings[std::string("int4-") + value] = {{"int4.group_size", value}};
  return sweep;
}

RunReport measured() {
  RunReport report;
  for (const auto& [name, bytes, ppl, accuracy] :
       {std::tuple("teacher", 30e6, 35.0, 0.5), std::tuple("int4-32", 6e6, 35.6, 0.3),
        std::tuple("int4-64", 5e6, 35.9, 0.4), std::tuple("int4-128", 4e6, 36.4, 0.2)}) {
    report.evaluation.push_back(row(name, "model_bytes", bytes, "bytes"));
    report.evaluation.push_back(row(name, "perplexity", ppl, ""));
    report.evaluation.push_back(row(name, "accuracy", accuracy, "fraction"));
  }
  return report;
}

TEST(SweepReport, RecommendsTheBestWithinTheBudget) {
  SweepSpec sweep = spec();
  EXPECT_EQ(sweep_report(sweep, measured())["recommended"], "int4-32");
  sweep.budget.bytes = 5'500'000;
  const auto json = sweep_report(sweep, measured());
  EXPECT_EQ(json["recommended"], "int4-64");
  EXPECT_EQ(json["models"].size(), 3u);
  EXPECT_EQ(json["models"][0]["beyond"], "model_bytes 6.0 MB");
  EXPECT_EQ(json["models"][0]["settings"]["int4.group_size"], "32");
  sweep.budget.bytes = 7'000'000;
  sweep.metric = "accuracy";  // more is better
  EXPECT_EQ(sweep_report(sweep, measured())["recommended"], "int4-64");
}

TEST(SweepReport, SaysWhatComesClosestWhenNothingFits) {
  SweepSpec sweep = spec();
  sweep.budget.bytes = 1'000'000;
  auto json = sweep_report(sweep, measured());
  EXPECT_TRUE(json["recommended"].is_null());
  EXPECT_NE(json["advice"][1].get<std::string>().find("int4-128 comes closest"), std::string::npos);
  sweep.budget = {};
  sweep.budget.decode_tokens_per_s = 10;
  json = sweep_report(sweep, measured());
  EXPECT_TRUE(json["recommended"].is_null());
  EXPECT_EQ(json["models"][0]["beyond"], "decode_tokens_per_s was not measured");
}

class ModelCard : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::make_test_directory("card");
    base_ = root_ / "teacher";
    fs::create_directories(base_);
    write_file(base_ / "README.md", "---\nlanguage: en\nlicense: apache-2.0\n---\n# Teacher\n");
    report_ = measured();
    report_.name = "small";
    for (auto& r : report_.evaluation) r.reference = r.model == "teacher" ? "" : "teacher";
    StageRow stage;
    stage.name = "int4-32";
    stage.type = "quantize";
    stage.from = "model";
    stage.parameters = 7344384;
    stage.options = {{"scheme", "W4A16"}};
    stage.report.fallbacks.push_back({"channel scales", "mlp.down_proj", "172 columns"});
    report_.stages.push_back(stage);
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path root_, base_;
  RunReport report_;
};

TEST_F(ModelCard, SaysWhereTheModelComesFromAndHowGoodItIs) {
  const std::string card = render_model_card(report_, report_.stages[0], base_);
  for (const char* part :
       {"license: apache-2.0", "base_model: \"teacher\"", "# int4-32", "7,344,384 parameters",
        "| perplexity | 35.600", "35.000 |", "scheme W4A16", "mlp.down_proj", "stays under"})
    EXPECT_NE(card.find(part), std::string::npos) << part << "\n" << card;
  EXPECT_EQ(card.find(root_.string()), std::string::npos) << "a private path";
}

TEST_F(ModelCard, IsRenewedButNeverReplacesWhatSomebodyElseWrote) {
  EXPECT_TRUE(write_model_card("one\n", root_));
  EXPECT_TRUE(write_model_card("two\n", root_));
  EXPECT_NE(read_text(root_ / "README.md").find("two"), std::string::npos);
  write_file(root_ / "README.md", read_text(root_ / "README.md") + "mine\n");
  EXPECT_FALSE(write_model_card("three\n", root_));
  std::string edited = read_text(root_ / "README.md");
  edited.replace(edited.find("two"), 3, "my ");
  edited.erase(edited.rfind("mine\n"));
  write_file(root_ / "README.md", edited);
  EXPECT_FALSE(write_model_card("three\n", root_)) << "an edited card counts as the user's";
  EXPECT_FALSE(write_model_card("three\n", base_));
}

}  // namespace
}  // namespace attar
