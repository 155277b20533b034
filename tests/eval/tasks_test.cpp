// Task files in every shape, their prompts, their mistakes, and what counts as right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "compress/base/error.h"
#include "compress/base/files.h"
#include "eval/tasks/answers.h"
#include "tests/support/run_command.h"

namespace attar::eval {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Tasks : public ::testing::Test {
 protected:
  void SetUp() override { root_ = testing::make_test_directory("tasks"); }
  void TearDown() override { fs::remove_all(root_); }

  LoadedTask load(const std::string& file, const std::string& content, int64_t shots = 0,
                  const std::string& shape = "", std::optional<int64_t> samples = {}) {
    write_file(root_ / file, content);
    EvaluationTask request{"task", shape, {}};
    request.data.path = root_ / file;
    request.data.samples = samples;
    return load_task(request, shots, 5);
  }
  std::string error(const std::string& file, const std::string& content, int64_t shots = 0,
                    const std::string& shape = "") {
    try {
      load(file, content, shots, shape);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ExitCode::bad_input);
      return e.block();
    }
    return "no error";
  }

  fs::path root_;
};

TEST_F(Tasks, ReadsArcAsDataSetAndAsPublished) {
  const std::string published =
      R"({"id":"x","question":{"stem":"Why?","choices":[{"text":"so","label":"1"},)"
      R"({"text":"thus","label":"2"}]},"answerKey":"2"})";
  const std::string data_set =
      R"({"question":"Why?","choices":{"text":["so","thus"],"label":["A","B"]},"answerKey":"B"})";
  for (const auto& text : {published, data_set}) {
    const LoadedTask task = load("arc.jsonl", text + "\n\n" + text);
    EXPECT_EQ(task.shape, "arc");
    ASSERT_EQ(task.examples.size(), 2u);
    EXPECT_EQ(task.examples[0].prompt, "Question: Why?\nAnswer:");
    EXPECT_EQ(task.delimiter, " ");
    EXPECT_THAT(task.examples[0].choices, ElementsAre("so", "thus"));
    EXPECT_THAT(task.examples[0].worth, ElementsAre(0, 1));
    EXPECT_THAT(task.examples[1].where, HasSubstr("arc.jsonl: line 3"));
  }
}

TEST_F(Tasks, ReadsHellaSwagWithItsCleaning) {
  const LoadedTask task =
      load("h.json",
           R"([{"activity_label":"Home and Garden","ctx_a":"[header] How to mow [title] Begin.",)"
           R"("ctx_b":"THE man","endings":["runs [step] off.","sits."],"label":"1"}])");
  EXPECT_EQ(task.shape, "hellaswag");
  EXPECT_EQ(task.examples[0].prompt, "Home and Garden: How to mow. Begin. The man");
  EXPECT_THAT(task.examples[0].choices, ElementsAre("runs off.", "sits."));
  EXPECT_THAT(task.examples[0].worth, ElementsAre(0, 1));
}

TEST_F(Tasks, ReadsPiqaAndMmluFromTables) {
  const LoadedTask piqa = load("p.csv", "goal,sol1,sol2,label\n\"open, fast\",pull,push,0\n");
  EXPECT_EQ(piqa.examples[0].prompt, "Question: open, fast\nAnswer:");
  EXPECT_THAT(piqa.examples[0].worth, ElementsAre(1, 0));

  const LoadedTask mmlu = load("m.csv", "What is 1+1?,1,2,3,4,B\nAnd 2+2?,1,2,3,4,D\n");
  EXPECT_EQ(mmlu.shape, "mmlu");
  ASSERT_EQ(mmlu.examples.size(), 2u);
  EXPECT_EQ(mmlu.examples[0].prompt,
            "The following are multiple choice questions (with answers).\n\n"
            "What is 1+1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:");
  EXPECT_THAT(mmlu.examples[1].choices, ElementsAre("A", "B", "C", "D"));
  EXPECT_THAT(mmlu.examples[1].worth, ElementsAre(0, 0, 0, 1));

  const LoadedTask hub = load("m.jsonl", R"({"question":" Q? ","subject":"high_school_physics",)"
                                         R"("choices":["a","b"],"answer":1})");
  EXPECT_THAT(hub.examples[0].prompt, HasSubstr("about high school physics.\n\nQ?\nA. a\nB. b"));
}

TEST_F(Tasks, ReadsBigBenchByTheKeysOfTheFile) {
  const LoadedTask plain = load(
      "b.json", R"({"name":"n","examples":[{"input":"x","target_scores":{"yes":1,"no":0.5}}]})");
  EXPECT_EQ(plain.examples[0].prompt, "\nQ: x\n  choice: yes\n  choice: no\nA: ");
  EXPECT_EQ(plain.delimiter, "");
  EXPECT_THAT(plain.examples[0].worth, ElementsAre(1, 0.5));
  const LoadedTask own =
      load("b.json", R"({"task_prefix":"Say.","example_input_prefix":"\nS: ",)"
                     R"("example_output_prefix":"\nP: ","append_choices_to_input":false,)"
                     R"("examples":[{"input":"x","target_scores":{"a":0,"b":1}}]})");
  EXPECT_EQ(own.examples[0].prompt, "Say.\nS: x\nP: ");
}

TEST_F(Tasks, ReadsPassagesQuestionsAndReadyPrompts) {
  const LoadedTask lambada = load("l.txt", "a b c \nd e\n");
  EXPECT_EQ(lambada.kind, TaskKind::last_word);
  EXPECT_EQ(lambada.examples[0].prompt, "a b");
  EXPECT_THAT(lambada.examples[0].choices, ElementsAre("c"));

  const LoadedTask gsm8k = load("g.jsonl", R"({"question":"How many?","answer":"2+3=5\n#### 5"})");
  EXPECT_EQ(gsm8k.kind, TaskKind::exact_match);
  EXPECT_EQ(gsm8k.examples[0].prompt, "Question: How many?\nAnswer:");

  const LoadedTask ready =
      load("o.json", R"({"samples":[{"prompt":"A or B?","options":[" A"," B"],)"
                     R"("input_label":1},{"prompt":"x","options":["y","z"],)"
                     R"("input_label":"A"}]})");
  EXPECT_EQ(ready.shape, "options");
  EXPECT_EQ(ready.examples[0].prompt, "A or B?");
  EXPECT_EQ(ready.examples[1].prompt, "x ");
  EXPECT_THAT(ready.examples[1].worth, ElementsAre(1, 0));
}

TEST_F(Tasks, PutsSolvedExamplesBeforeEachPromptBySeed) {
  std::string file;
  for (int i = 0; i < 6; ++i)
    file += R"({"goal":"g)" + std::to_string(i) + R"(","sol1":"s)" + std::to_string(i) +
            R"(","sol2":"t","label":0})" + "\n";
  const LoadedTask task = load("p.jsonl", file, 2);
  for (size_t i = 0; i < 6; ++i) {
    const std::string own = "Question: g" + std::to_string(i) + "\nAnswer:";
    const std::string& prompt = task.examples[i].prompt;
    EXPECT_TRUE(prompt.ends_with(own)) << prompt;
    EXPECT_EQ(prompt.find(own), prompt.size() - own.size()) << "its own answer is not shown";
    EXPECT_THAT(prompt, HasSubstr("Answer: s"));
  }
  EXPECT_EQ(load("p.jsonl", file, 2).examples[3].prompt, task.examples[3].prompt);
  EXPECT_THAT(error("p.jsonl", file, 6), HasSubstr("there are 5 others"));
  EXPECT_EQ(load("p.jsonl", file, 0, "", 4).examples.size(), 4u);
  EXPECT_EQ(load("p.jsonl", file, 0, "", 4).of, 6);
}

TEST_F(Tasks, NamesTheRowOfAMistake) {
  EXPECT_THAT(
      error("x.jsonl", "{\"goal\":\"a\",\"sol1\":\"b\",\"sol2\":\"c\",\"label\":0}\n{\"goal"),
      HasSubstr("x.jsonl: line 2"));
  EXPECT_THAT(error("x.jsonl",
                    "{\"goal\":\"a\",\"sol1\":\"b\",\"sol2\":\"c\",\"label\":0}\n"
                    "{\"goal\":\"a\",\"sol1\":\"b\",\"soll2\":\"c\",\"label\":0}"),
              ::testing::AllOf(HasSubstr("x.jsonl: line 2"), HasSubstr("\"sol2\" is missing"),
                               HasSubstr("did you mean")));
  EXPECT_THAT(error("x.csv", "goal,sol1,sol2,label\na,b,c,2\n"),
              ::testing::AllOf(HasSubstr("x.csv: line 2"), HasSubstr("0 to 1 or A to B")));
  EXPECT_THAT(error("x.json", R"({"examples":[{"input":"a","target_scores":{"b":1}}]})"),
              HasSubstr("examples[0]"));
  // The first row says which shape it is; a later one may lack its fields.
  EXPECT_THAT(
      error("x.json", R"({"examples":[{"input":"a","target_scores":{"b":1,"c":0}},)"
                      R"({"input":"a"}]})"),
      ::testing::AllOf(HasSubstr("examples[1]"), HasSubstr("\"target_scores\" is missing")));
  const std::string arc = R"({"question":"Why?","choices":{"text":["a","b"],"label":["A","B"]},)"
                          R"("answerKey":"A"})";
  EXPECT_THAT(error("x.jsonl", arc + "\n" + R"({"answerKey":"A"})"),
              ::testing::AllOf(HasSubstr("line 2"), HasSubstr("\"question\" is missing")));
  EXPECT_THAT(error("x.jsonl", arc + "\n" + R"({"question":"Why?","answerKey":"A"})"),
              ::testing::AllOf(HasSubstr("line 2"), HasSubstr("\"choices\" is missing")));
  EXPECT_THAT(error("x.jsonl", R"({"question":"Why?","choices":{"text":["a","b"],)"
                               R"("label":["A","B"]},"answerKey":"C"})"),
              HasSubstr("none of the 2 choices' labels"));
  EXPECT_THAT(error("x.txt", "word\n"), HasSubstr("at least two words"));
  EXPECT_THAT(error("x.json", "[]"), HasSubstr("no examples"));
  EXPECT_THAT(error("x.json", "{\"a\": 1}"), HasSubstr("no list of examples"));
  EXPECT_THAT(error("x.json", "[1]"), HasSubstr("has to be a JSON object"));
  EXPECT_THAT(error("x.json", "[{\"a\": 1}]"), HasSubstr("known shapes"));
  EXPECT_THAT(error("x.json", "[{\"a\": 1}]", 0, "piqqa"), HasSubstr("did you mean 'piqa'"));
  EXPECT_THAT(error("m.csv", "Q,1,2,3,4,B\nQ,1,2,3,4,E\n"), HasSubstr("m.csv: line 2"));
  EXPECT_THAT(error("g.jsonl", R"({"question":"Q","answer":"5 #### "})"), HasSubstr("#### "));
}

/// A set of one example with choices of the given numbers of predictions.
EncodedTask encoded(TaskKind kind, const std::vector<std::string>& choices,
                    const std::vector<double>& worth, const std::vector<int64_t>& lengths) {
  auto task = std::make_shared<LoadedTask>();
  task->kind = kind;
  Example example;
  example.choices = choices;
  example.worth = worth;
  task->examples = {example};
  EncodedTask result;
  for (const int64_t length : lengths)
    result.sequences.add(std::vector<int32_t>(static_cast<size_t>(length) + 1), 0);
  result.sequences.close();
  result.task = task;
  return result;
}

TokenScores scores_of(const std::vector<double>& loss, const std::vector<uint8_t>& hit) {
  TokenScores scores;
  scores.starts = {0, std::ssize(loss)};
  scores.loss = loss;
  scores.hit = hit;
  return scores;
}

TEST(Answers, AreTheLikeliestAndTheLikeliestACharacter) {
  const auto task = encoded(TaskKind::choices, {"ab", "abcdefgh", "ä"}, {0, 1, 0}, {1, 2, 1});
  // log-likelihoods −3, −5, −3.5; a character −1.5, −0.625, −3.5
  const auto result = judge_scores(task, scores_of({3, 2, 3, 3.5}, {0, 0, 0, 0}));
  EXPECT_THAT(result.values.at("accuracy"), ElementsAre(0));
  EXPECT_THAT(result.values.at("accuracy_norm"), ElementsAre(1));
}

TEST(Answers, ALastWordIsRightWhenEveryIdIsTheLikeliest) {
  const auto task = encoded(TaskKind::last_word, {"word"}, {1}, {2});
  EXPECT_THAT(judge_scores(task, scores_of({1, 2}, {1, 1})).values.at("accuracy"), ElementsAre(1));
  const auto wrong = judge_scores(task, scores_of({1, 2}, {1, 0}));
  EXPECT_THAT(wrong.values.at("accuracy"), ElementsAre(0));
  EXPECT_THAT(wrong.values.at("loss"), ElementsAre(3));
}

TEST(Answers, AreExtractedFromTexts) {
  const auto task = encoded(TaskKind::exact_match, {"So 1,200.\n#### 1,200"}, {1}, {});
  const auto judged = [&](const std::string& text) {
    const auto values = judge_texts(task, {text}).values;
    return std::pair(values.at("exact_match")[0], values.at("exact_match_flexible")[0]);
  };
  EXPECT_EQ(judged("It is 7.\n#### 1200"), std::pair(1.0, 1.0));
  EXPECT_EQ(judged("#### 1,200. Then 3 more"), std::pair(1.0, 0.0));
  EXPECT_EQ(judged("The result is $1,200."), std::pair(0.0, 1.0));
  EXPECT_EQ(judged("#### -1200"), std::pair(0.0, 0.0));
  EXPECT_EQ(judged(""), std::pair(0.0, 0.0));
  EXPECT_EQ(judged("####1200 #### none"), std::pair(0.0, 1.0));
}

TEST(EncodedTasks, SharePromptsAndKeepTheBoundaryOfTheWholeText) {
  const auto model = testing::beside("models/stories260K-hf");
  if (!fs::exists(model)) GTEST_SKIP() << "needs " << model;
  const auto tokenizer = Tokenizer::load(model);
  auto task = std::make_shared<LoadedTask>();
  Example example;
  example.prompt = "Once upon a time, there was a ";
  example.choices = {"girl", "big dog named Max"};
  example.worth = {1, 0};
  task->examples = {example};
  task->delimiter = "";
  const auto whole = tokenizer->encode("Once upon a time, there was a girl", true);
  const auto prompt = tokenizer->encode("Once upon a time, there was a", true);
  const EncodedTask found = encode_task(task, *tokenizer, 512);
  const Sequences& set = found.sequences;
  ASSERT_EQ(set.list.size(), 2u);
  EXPECT_EQ(std::vector<int32_t>(set.at(set.list[0]).begin(), set.at(set.list[0]).end()), whole);
  EXPECT_EQ(set.list[0].first, std::ssize(prompt) - 1);
  EXPECT_TRUE(found.bos);
  EXPECT_EQ(found.truncated, 0);
  // A model with few positions reads the end of the prompt.
  const EncodedTask narrow = encode_task(task, *tokenizer, 8);
  EXPECT_EQ(narrow.truncated, 1);
  EXPECT_EQ(narrow.sequences.list[0].length, 9);
  EXPECT_EQ(narrow.sequences.list[0].predictions(), set.list[0].predictions());
}

}  // namespace
}  // namespace attar::eval
