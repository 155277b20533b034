// Sweeps: which variants a recipe becomes, and what it objects to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compress/base/files.h"
#include "tests/recipe/example.h"

namespace attar::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

std::vector<std::string> names(const Recipe& recipe) {
  std::vector<std::string> list;
  for (const auto& stage : recipe.stages) list.push_back(stage.name);
  return list;
}

TEST(Sweep, VariantsShareWhatTheyHaveInCommon) {
  Problems problems;
  const Recipe r = parsed(kExample + R"(sweep:
  over: {int4.group_size: [32, 128], slim.keep.ffn: [0.5, 0.75]}
  budget: {bytes: 2M, decode_tokens_per_s: 50}
  metric: kl_mean
)",
                          problems);
  ASSERT_TRUE(problems.empty()) << listed(problems);
  EXPECT_THAT(names(r),
              ElementsAre("slim-0_5", "slim-0_75", "student-0_5", "student-0_75", "int4-32-0_5",
                          "int4-32-0_75", "int4-128-0_5", "int4-128-0_75"));
  EXPECT_EQ(r.find_stage("slim-0_75")->options["keep"]["ffn"].text(), "0.75");
  EXPECT_EQ(r.find_stage("slim-0_75")->options["keep"]["heads"].text(), "0.75");
  EXPECT_EQ(r.find_stage("slim-0_5")->from, "model");
  EXPECT_EQ(r.find_stage("slim-0_75")->from, "model");
  EXPECT_EQ(r.find_stage("student-0_75")->from, "slim-0_75");
  EXPECT_EQ(r.find_stage("student-0_75")->options["teacher"].text(), "model");
  EXPECT_EQ(r.find_stage("int4-128-0_5")->from, "student-0_5");
  EXPECT_EQ(r.find_stage("int4-128-0_5")->options["group_size"].text(), "128");
  EXPECT_EQ(r.evaluate->models.size(), 1u + 2 + 4);
  EXPECT_EQ(r.gates.size(), 4u * 2);
  ASSERT_TRUE(r.sweep);
  EXPECT_EQ(r.sweep->axes.size(), 2u);
  EXPECT_THAT(r.sweep->settings.at("int4-128-0_5"),
              ElementsAre(Pair("int4.group_size", "128"), Pair("slim.keep.ffn", "0.5")));
  EXPECT_EQ(r.sweep->budget.bytes, uint64_t{2} << 20);
  EXPECT_EQ(r.sweep->metric, "kl_mean");
  // What is kept of the recipe is the sweep itself, which makes the same variants again.
  const Recipe again = parsed(r.resolved_yaml, problems);
  ASSERT_TRUE(problems.empty()) << listed(problems);
  EXPECT_EQ(names(again), names(r));
}

TEST(Sweep, ReferencesFollowTheirVariant) {
  Problems problems;
  const Recipe r = parsed(R"(attar: 1
name: s
output: o
model: m
stages:
  - {name: slim, type: prune}
  - {name: student, type: distill, from: model, teacher: slim}
  - {name: other, type: quantize, from: model}
sweep: {over: {slim.layers: [2, 4]}}
)",
                          problems);
  ASSERT_TRUE(problems.empty()) << listed(problems);
  EXPECT_THAT(names(r), ElementsAre("slim-2", "slim-4", "student-2", "student-4", "other"));
  EXPECT_EQ(r.find_stage("student-4")->options["teacher"].text(), "slim-4");
  EXPECT_EQ(r.find_stage("student-4")->from, "model");
}

std::string objection(const std::string& sweep) {
  Problems problems;
  parsed(kExample + "sweep: " + sweep + "\n", problems);
  return listed(problems);
}

TEST(Sweep, ObjectsWithTheLine) {
  EXPECT_THAT(objection("{over: {in4.group_size: [32]}}"),
              ::testing::AllOf(HasSubstr("no stage is called 'in4'"), HasSubstr("'int4'"),
                               HasSubstr("recipe.yaml:")));
  EXPECT_THAT(objection("{over: {int4: [32]}}"), HasSubstr("names no option"));
  EXPECT_THAT(objection("{over: {int4.name: [a]}}"), HasSubstr("names no option"));
  EXPECT_THAT(objection("{over: {int4.group_size: 32}}"), HasSubstr("must be a list"));
  EXPECT_THAT(objection("{over: {int4.group_size: []}}"), HasSubstr("must be a list"));
  EXPECT_THAT(objection("{over: {int4.group_size: [32, 32]}}"), HasSubstr("listed twice"));
  EXPECT_THAT(objection("{over: {}}"), HasSubstr("must be a map"));
  EXPECT_THAT(objection("[1]"), HasSubstr("must be a map"));
  EXPECT_THAT(objection("{ovr: {int4.group_size: [32]}}"), HasSubstr("ovr"));
  EXPECT_THAT(objection("{over: {int4.group_size: [32, 64]}, budget: {bytes: big}}"),
              HasSubstr("no amount of bytes"));
  std::string many = "{over: {int4.group_size: [";
  for (int i = 1; i <= 300; ++i) many += std::to_string(i) + (i < 300 ? ", " : "");
  EXPECT_THAT(objection(many + "]}}"), HasSubstr("more than 200"));
}

TEST(EvaluateTasks, AreFilesWithOrWithoutAName) {
  Problems problems;
  std::string text = kExample;
  text.replace(text.find("  window: 256"), 13,
               "  window: 256\n  tasks: [arc.jsonl, lambada=l.txt]\n  shots: 5\n  samples: 100");
  const Recipe r = parsed(text, problems);
  ASSERT_TRUE(problems.empty()) << listed(problems);
  ASSERT_EQ(r.evaluate->tasks.size(), 2u);
  EXPECT_EQ(r.evaluate->tasks[0].name, "arc");
  EXPECT_EQ(r.evaluate->tasks[0].kind, "");
  EXPECT_EQ(r.evaluate->tasks[0].path, "/recipes/arc.jsonl");
  EXPECT_EQ(r.evaluate->tasks[1].kind, "lambada");
  EXPECT_EQ(r.evaluate->tasks[1].path, "/recipes/l.txt");
  EXPECT_EQ(r.evaluate->shots, 5);
  EXPECT_EQ(r.evaluate->samples, 100);
  EXPECT_EQ(parsed(r.resolved_yaml, problems).evaluate->tasks[1].path, "/recipes/l.txt");
}

}  // namespace
}  // namespace attar::testing
